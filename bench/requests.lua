-- wrk's requests: wrk -s requests.lua ADDRESS -- HEAD [COOKIES]
-- HEAD is a file with a whole request head. In it, {n} is another number in each request, and {cookie} the next line
-- of the file COOKIES.
local texts, marks, cookies, out, n = {}, {}, {}, {}, 1000000000

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local head = file:read("*a")
  file:close()
  for text, mark in (head .. "{end}"):gmatch("(.-){(%a+)}") do
    texts[#texts + 1], marks[#marks + 1] = text, mark
  end
  if args[2] then
    for line in io.lines(args[2]) do cookies[#cookies + 1] = line end
  end
end

function request()
  n = n + 1
  local count = 0
  for i = 1, #texts do
    out[count + 1] = texts[i]
    out[count + 2] = marks[i] == "n" and n or marks[i] == "cookie" and cookies[n % #cookies + 1] or ""
    count = count + 2
  end
  return table.concat(out, "", 1, count)
end

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.bytes, summary.duration,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50), latency:percentile(99)))
end
