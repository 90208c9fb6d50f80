# Two stages: the first builds a virtual environment from the hashed lock, the second holds nothing but that and the samples.
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/gateway
COPY requirements.runtime.lock .
RUN /opt/gateway/bin/pip install --no-cache-dir --require-hashes -r requirements.runtime.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY gateway ./gateway
COPY templates ./templates
COPY static ./static
COPY locales ./locales
COPY config ./config
RUN pip wheel --no-cache-dir --no-deps --wheel-dir wheels . \
 && /opt/gateway/bin/pip install --no-cache-dir --no-deps --no-index wheels/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin gateway
COPY --from=build /opt/gateway /opt/gateway
COPY config /etc/efcx-gateway
# Probes come from outside the container: inside it the operations port is on all addresses. Never publish it.
RUN sed -i 's/^operations: 127\.0\.0\.1:/operations: 0.0.0.0:/' /etc/efcx-gateway/gateway.yaml
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9090/health/live', timeout=2)"]
ENTRYPOINT ["efcx-gateway"]
CMD ["serve", "--config", "/etc/efcx-gateway/gateway.yaml"]
