-- Asks for the paths of a file in turn, each thread from another one on.
local threads = 0
function setup(thread)
  thread:set("offset", threads * 17)
  threads = threads + 1
end

local requests = {}
local at
function init(args)
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
  at = offset
end

function request()
  at = at + 1
  return requests[at % #requests + 1]
end
