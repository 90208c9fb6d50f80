# Two stages: the first builds a virtual environment, from locks with hashes only; the second holds nothing but that.
# The base image is a tag. To pin it, pass the digest that your registry shows:
#   docker build --build-arg BASE=python:3.13-slim@sha256:… .
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
WORKDIR /build
COPY requirements.build.lock requirements.runtime.lock ./
RUN python -m venv back-end && back-end/bin/pip install --no-cache-dir --require-hashes -r requirements.build.lock
RUN python -m venv /opt/gateway \
 && /opt/gateway/bin/pip install --no-cache-dir --require-hashes -r requirements.runtime.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY gateway ./gateway
COPY templates ./templates
COPY static ./static
COPY locales ./locales
COPY config/schema ./config/schema
RUN back-end/bin/pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir wheels . \
 && /opt/gateway/bin/pip install --no-cache-dir --no-deps --no-index wheels/*.whl

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin gateway
COPY --from=build /opt/gateway /opt/gateway
# No settings are in the image, because they may hold secrets: mount the folder of gateway.yaml at /etc/efcx-gateway.
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9090/health/live', timeout=2)"]
ENTRYPOINT ["efcx-gateway"]
CMD ["serve", "--config", "/etc/efcx-gateway/gateway.yaml"]
