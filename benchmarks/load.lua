-- Requests of wrk: `rendered` events of many users, the same for the same seed. A GET has one event, a POST many, as NDJSON.
--
-- After `seconds`, no connection sends a new request, but wrk still reads every answer that is due. So the number of
-- accepted events can be compared exactly with the number of records in the topic. Arguments after "--": mode (single or batch),
-- seconds, users, seed, customer, events per batch. At the end, the script prints one line of JSON.
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long us; } uptake_time; int gettimeofday(uptake_time *time, void *zone);")

local ITEMS, LISTED = 5000, 4
local SCENARIOS = { "home", "also_bought", "category", "search" }
local NEVER_MS = 3600000
local PLATFORMS = { "Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64", "Linux; Android 10; K" }
local AGENT = "Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36"

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

local mode, seconds, users, customer, size, ends
function init(args)
   mode, seconds, users, customer, size = args[1], tonumber(args[2]), tonumber(args[3]), args[5], tonumber(args[6])
   math.randomseed(tonumber(args[4]) * 1000 + (number or 0))
   accepted, elapsed = 0, 0
   wrk.headers["Accept"] = "*/*"
   if mode == "batch" then
      wrk.headers["Content-Type"] = "application/x-ndjson"
      response = count_accepted
   end
end

local function items(left, separator, right)
   local drawn = {}
   for place = 1, LISTED do
      drawn[place] = left .. math.random(ITEMS) .. right
   end
   return table.concat(drawn, separator)
end

local function line()
   return string.format(
      '{"type":"rendered","user":"u%d","itemtype":1,"items":[%s],"scenario":"%s"}',
      math.random(users), items('"', ",", '"'), SCENARIOS[math.random(#SCENARIOS)]
   )
end

function request()
   ends = ends or now() + seconds
   wrk.headers["User-Agent"] = AGENT:format(PLATFORMS[math.random(#PLATFORMS)], 90 + math.random(50))
   if mode == "batch" then
      local lines = {}
      for place = 1, size do
         lines[place] = line()
      end
      return wrk.format("POST", "/v1/" .. customer .. "/events", nil, table.concat(lines, "\n"))
   end
   local path = "/api/%s/rendered/u%d/1/%s?scenario=%s"
   local scenario = SCENARIOS[math.random(#SCENARIOS)]
   return wrk.format("GET", path:format(customer, math.random(users), items("", ",", ""), scenario))
end

function delay()
   ends = ends or now() + seconds
   return now() < ends and 0 or NEVER_MS
end

function count_accepted(status, _, body)
   if status == 200 then
      accepted = accepted + tonumber(body:match('"accepted":%s*(%d+)'))
   end
end

function done(summary, latency)
   local errors, whole = summary.errors, 0
   for _, thread in ipairs(threads) do
      whole = whole + (thread:get("accepted") or 0)
   end
   io.write(string.format(
      '{"requests":%d,"refused":%d,"broken":%d,"accepted":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
      summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout, whole,
      latency:percentile(50) / 1000, latency:percentile(99) / 1000
   ))
end
