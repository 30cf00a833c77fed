-- Walks requests that were signed beforehand; wrk sends each of them once.
-- wrk … -s walk.lua URL -- FILE SKIP
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local skip = tonumber(args[2])
  walked, count, requests = 0, 0, {}
  while true do
    local head = file:read(6)
    if not head then break end
    local request = file:read(tonumber(head))
    if skip > 0 then
      skip = skip - 1
    else
      count = count + 1
      requests[count] = request
    end
  end
  file:close()
end

function request()
  walked = walked + 1
  return requests[(walked - 1) % count + 1]
end

function done(summary, latency)
  local walked, count = threads[1]:get("walked"), threads[1]:get("count")
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "walked": %d, "written": %d, "seconds": %f, "bad": %d, ' ..
    '"broken": %d, "p50_ms": %f, "p99_ms": %f, "worst_ms": %f}\n',
    summary.requests, walked, count, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
