-- Requests of wrk for `lookup`: one kind of lookup, of users that are drawn evenly, the same for the same seed.
--
-- Arguments after "--": method, target (with %d where the number of a user belongs, or none), users, seed, and a file with one body a line,
-- of which each request takes the next, or "-". At the end, the script prints one line of JSON.
local threads = {}
function setup(thread)
   thread:set("number", #threads)
   table.insert(threads, thread)
end

local method, target, users, bodies, at
function init(args)
   method, target, users, bodies = args[1], args[2], tonumber(args[3]), {}
   math.randomseed(tonumber(args[4]) * 1000 + (number or 0))
   if args[5] ~= "-" then
      for line in io.lines(args[5]) do
         table.insert(bodies, line)
      end
      wrk.headers["Content-Type"] = "application/json"
      at = math.random(#bodies)
   end
end

function request()
   local body = nil
   if at ~= nil then
      at = at % #bodies + 1
      body = bodies[at]
   end
   return wrk.format(method, target:format(math.random(users) - 1), nil, body)
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"refused":%d,"broken":%d,"accepted":0,"p50_ms":%.3f,"p99_ms":%.3f}\n',
      summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000
   ))
end
