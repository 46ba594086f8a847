// The parts of an experiment's answer, laid out for texts and charts. Pure: no page, no clock.

const LONG = 40;
const NOT_LEFT_TO_RIGHT = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff]/;

/** Return the pieces of a sentence, cut around the names in it that could disturb the rest: long ones, and those that run to the left. */
export function partsOf(sentence, names) {
  const odd = names.filter((name) => name.length > LONG || NOT_LEFT_TO_RIGHT.test(name)).sort((a, b) => b.length - a.length);
  return odd.reduce(
    (parts, name) => parts.flatMap((part) => (odd.includes(part) ? [part] : part.split(name).flatMap((piece, at) => (at ? [name, piece] : [piece])))),
    [sentence],
  ).filter((part) => part !== "");
}

/** Return the lifts of each variant at each step: null where there is none. */
export function liftsOf(sequence, most) {
  const names = [...new Set(sequence.flatMap(({ differences }) => differences.map(({ name }) => name)))];
  return names.slice(0, most).map((name) => ({
    name,
    lifts: sequence.map(({ differences }) => differences.find((each) => each.name === name)?.lift ?? null),
  }));
}

/** Return [from, to] of the time axis: a step before the first end, and room for the last point. */
export function timeRange(ends) {
  const [first, last] = [ends[0], ends.at(-1)];
  const step = ends.length > 1 ? ends[1] - first : 3_600_000;
  return [first - step, last + (last - first + step) / 100];
}

/** Return [bottom, top] of the lifts' axis: room for the later half of them and for zero, but not for the wide ones of the first users. */
export function liftRange(lines) {
  const later = lines.flatMap(({ lifts }) => {
    const found = lifts.filter(Boolean);
    return found.slice(Math.floor(found.length / 2));
  });
  const low = Math.min(0, ...later.map((lift) => lift.low));
  const high = Math.max(0, ...later.map((lift) => lift.high));
  const room = (high - low) * 0.1 || 0.1;
  return [low - room, high + room];
}
