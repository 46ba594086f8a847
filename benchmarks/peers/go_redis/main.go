// Lookups in Go from profiles in Redis: the paths and answers of fastapi_redis.py, except the user's page.
//
// net/http and go-redis in their usual form: a Unix socket, one pipeline a request, encoding/json. It has no keys, limits, metrics,
// sessions, moved users or pseudonyms. benchmarks/peers/redis_profile.py describes the keys.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	threshold       = 2
	withinMs        = 30 * 60_000
	consumedAtLeast = 90
	blacklistedMs   = 365 * 86_400_000
)

type item struct {
	Item     string   `json:"item"`
	Itemtype int      `json:"itemtype,omitempty"`
	Reasons  []string `json:"reasons"`
	Count    int64    `json:"count"`
	LastMs   int64    `json:"last_ms"`
}

type excluded struct {
	Known    bool   `json:"known"`
	AsOfMs   int64  `json:"as_of_ms"`
	Excluded []item `json:"excluded"`
}

type filtered struct {
	User    string   `json:"user,omitempty"`
	Known   bool     `json:"known"`
	AsOfMs  int64    `json:"as_of_ms,omitempty"`
	Kept    []string `json:"kept"`
	Dropped []item   `json:"dropped"`
}

type many struct {
	AsOfMs  int64      `json:"as_of_ms"`
	Results []filtered `json:"results"`
}

type question struct {
	Candidates []string `json:"candidates"`
	Users      []string `json:"users"`
	Itemtype   int      `json:"itemtype"`
	Threshold  int      `json:"threshold"`
	AsOfMs     int64    `json:"as_of_ms"`
	Limit      *int     `json:"limit"`
}

// What Redis replies about one user.
type replies struct {
	showings *redis.StringSliceCmd
	facts    *redis.MapStringStringCmd
}

type server struct{ redis *redis.Client }

// read asks for the showings of the span and the facts of each user, in one round trip.
func (s *server) read(r *http.Request, users []string, asOfMs int64) ([]replies, error) {
	context, pipe := r.Context(), s.redis.Pipeline()
	span := &redis.ZRangeBy{Min: "(" + strconv.FormatInt(asOfMs-withinMs, 10), Max: strconv.FormatInt(asOfMs, 10)}
	found := make([]replies, len(users))
	for at, user := range users {
		found[at] = replies{pipe.ZRangeByScore(context, "s:"+user, span), pipe.HGetAll(context, "h:"+user)}
	}
	_, err := pipe.Exec(context)
	return found, err
}

// judge returns the excluded items by their keys, and whether the user is known.
func judge(of replies, threshold int, asOfMs int64) (map[string]*item, bool) {
	type showings struct {
		count int
		last  string
	}
	counts := make(map[string]showings)
	for _, member := range of.showings.Val() { // in the order of time
		key, last, _ := strings.Cut(member, "@")
		counts[key] = showings{counts[key].count + 1, last}
	}
	found := make(map[string]*item)
	for key, each := range counts {
		if each.count >= threshold {
			lastMs, _ := strconv.ParseInt(each.last, 10, 64)
			found[key] = &item{Reasons: []string{"rendered"}, Count: int64(each.count), LastMs: lastMs}
		}
	}
	facts := of.facts.Val()
	names := make([]string, 0, len(facts))
	for name := range facts {
		if name != "." {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the letters are in the order of the reasons
	for _, name := range names {
		reason, count, lastMs := weigh(name[0], facts[name], asOfMs)
		if reason == "" {
			continue
		}
		if each, ok := found[name[1:]]; ok {
			each.Reasons, each.LastMs = append(each.Reasons, reason), max(each.LastMs, lastMs)
		} else {
			found[name[1:]] = &item{Reasons: []string{reason}, Count: count, LastMs: lastMs}
		}
	}
	_, known := facts["."]
	return found, known
}

// weigh returns why a fact excludes its item, or "".
func weigh(letter byte, value string, asOfMs int64) (string, int64, int64) {
	parts := strings.Split(value, " ")
	firstMs, _ := strconv.ParseInt(parts[0], 10, 64)
	switch {
	case firstMs > asOfMs:
		return "", 0, 0
	case letter == 'k':
		return "basket", 1, firstMs
	case letter == 'x':
		if asOfMs < firstMs+blacklistedMs {
			return "blacklisted", 1, firstMs
		}
		return "", 0, 0
	}
	lastMs, _ := strconv.ParseInt(parts[1], 10, 64)
	if lastMs > asOfMs {
		lastMs = firstMs
	}
	number, _ := strconv.ParseInt(parts[2], 10, 64)
	if letter == 'b' {
		return "bought", number, lastMs
	}
	if number >= consumedAtLeast {
		return "consumed", 1, lastMs
	}
	return "", 0, 0
}

func (s *server) exclusions(w http.ResponseWriter, r *http.Request) {
	asOfMs, query := time.Now().UnixMilli(), r.URL.Query()
	if text := query.Get("as_of_ms"); text != "" {
		var err error
		if asOfMs, err = strconv.ParseInt(text, 10, 64); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	of, err := s.read(r, []string{r.PathValue("user")}, asOfMs)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	found, known := judge(of[0], threshold, asOfMs)
	told := excluded{known, asOfMs, make([]item, 0, len(found))}
	for key, each := range found {
		itemtype, name, _ := strings.Cut(key, "/")
		each.Itemtype, _ = strconv.Atoi(itemtype)
		each.Item = name
		told.Excluded = append(told.Excluded, *each)
	}
	slices.SortFunc(told.Excluded, func(one, other item) int {
		return cmp.Or(cmp.Compare(other.LastMs, one.LastMs), cmp.Compare(one.Item, other.Item), one.Itemtype-other.Itemtype)
	})
	answer(w, told)
}

// filter answers for one user or for many.
func (s *server) filter(w http.ResponseWriter, r *http.Request) {
	asked := question{Itemtype: 1, Threshold: threshold, AsOfMs: time.Now().UnixMilli()}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	one := r.PathValue("user")
	if one != "" {
		asked.Users = []string{one}
	}
	of, err := s.read(r, asked.Users, asked.AsOfMs)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	results := make([]filtered, len(asked.Users))
	prefix := strconv.Itoa(asked.Itemtype) + "/"
	for at, user := range asked.Users {
		found, known := judge(of[at], asked.Threshold, asked.AsOfMs)
		told := filtered{User: user, Known: known, Kept: make([]string, 0, len(asked.Candidates)), Dropped: []item{}}
		for _, candidate := range asked.Candidates {
			if each, ok := found[prefix+candidate]; ok {
				each.Item = candidate
				told.Dropped = append(told.Dropped, *each)
			} else {
				told.Kept = append(told.Kept, candidate)
			}
		}
		if asked.Limit != nil && *asked.Limit < len(told.Kept) {
			told.Kept = told.Kept[:*asked.Limit]
		}
		results[at] = told
	}
	if one != "" {
		results[0].User, results[0].AsOfMs = "", asked.AsOfMs
		answer(w, results[0])
		return
	}
	answer(w, many{asked.AsOfMs, results})
}

func answer(w http.ResponseWriter, told any) {
	body, err := json.Marshal(told)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func main() {
	socket := flag.String("socket", "", "Unix socket of Redis")
	port := flag.Int("port", 0, "TCP port on loopback")
	flag.Parse()
	s := &server{redis.NewClient(&redis.Options{Network: "unix", Addr: *socket})}
	http.HandleFunc("GET /v1/{customer}/users/{user}/exclusions", s.exclusions)
	http.HandleFunc("POST /v1/{customer}/users/{user}/filter", s.filter)
	http.HandleFunc("POST /v1/{customer}/filter", s.filter)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+strconv.Itoa(*port), nil))
}
