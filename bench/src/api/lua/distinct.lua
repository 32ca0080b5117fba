-- Asks for so many events from another second on each time, one that no other request has.
local threads = 0
function setup(thread)
  thread:set("offset", threads)
  threads = threads + 1
end

local path, at, first, span, step, results
function init(args)
  path, at = args[1], tonumber(args[2]) + offset
  first, span, step = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  results = args[6]
end

function request()
  local second = first + at * step % span
  at = at + 2
  local start = os.date("!%Y-%m-%dT%H:%M:%SZ", second)
  return wrk.format("GET", path .. "?starts_at=" .. start .. "&limit=" .. results)
end
