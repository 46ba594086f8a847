-- Requests of wrk for `lookup`: one kind of lookup, of users that are drawn evenly, the same for the same seed.
--
-- After `seconds`, no connection sends a new request, but wrk still reads the answers that are due: their work is part of the CPU time.
-- Arguments after "--": method, target (with %d where the number of a user belongs, or none), seconds, users, seed, and a file with one
-- body a line, of which each request takes the next, or "-". At the end, the script prints one line of JSON.
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long us; } uptake_time; int gettimeofday(uptake_time *time, void *zone);")

local NEVER_MS = 3600000

local time = ffi.new("uptake_time")
local function now()
   ffi.C.gettimeofday(time, nil)
   return tonumber(time.s) + tonumber(time.us) / 1e6
end

local threads = {}
function setup(thread)
   thread:set("number", #threads)
   table.insert(threads, thread)
end

local method, target, seconds, users, bodies, at, ends
function init(args)
   method, target, seconds, users, bodies = args[1], args[2], tonumber(args[3]), tonumber(args[4]), {}
   math.randomseed(tonumber(args[5]) * 1000 + (number or 0))
   if args[6] ~= "-" then
      for line in io.lines(args[6]) do
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

function delay()
   ends = ends or now() + seconds
   return now() < ends and 0 or NEVER_MS
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"refused":%d,"broken":%d,"accepted":0,"p50_ms":%.3f,"p99_ms":%.3f}\n',
      summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000
   ))
end
