// Numbers and times as people read them, and the few formulas of the page. Pure: no page, no clock.

const NO_VALUE = "–";
const Z = 1.959963984540054; // standard deviations that hold 95 % of a normal distribution

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const decimal = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(undefined, {
  style: "percent",
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
});
const change = new Intl.NumberFormat(undefined, {
  style: "percent",
  maximumFractionDigits: 1,
  signDisplay: "exceptZero",
});
const digits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
const points = new Intl.NumberFormat(undefined, { minimumSignificantDigits: 2, maximumSignificantDigits: 2, signDisplay: "exceptZero" });

export const count = (number) => (number === null || number === undefined ? NO_VALUE : whole.format(number));
export const shortCount = (number) => short.format(number);
export const oneDecimal = (number) => (number === null || number === undefined ? NO_VALUE : decimal.format(number));
export const share = (value) => (value === null || value === undefined ? NO_VALUE : percent.format(value));
export const small = (value) => (value === null || value === undefined ? NO_VALUE : value < 0.0001 ? "< 0.0001" : digits.format(value));
export const relative = (value) => change.format(value);
export const inPoints = (value) => points.format(value * 100);

/** Return a 95 % interval in words; the value has none when it is null. */
export function interval(low, high) {
  return low === null || low === undefined ? "no interval" : `${share(low)} to ${share(high)}`;
}

/** Return a change with its interval, all relative; a dash if there is none. */
export function lift(estimate) {
  return estimate ? `${relative(estimate.value)} (${relative(estimate.low)} to ${relative(estimate.high)})` : NO_VALUE;
}

/** Return an exact decimal as money. The currency need not be one that the browser knows. `options`: of Intl.NumberFormat. */
export function money(amount, currency, options = {}) {
  try {
    return new Intl.NumberFormat(undefined, { style: "currency", currency, ...options }).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

/** Return the sum of two decimals that are texts, exactly. */
export function addDecimals(a, b) {
  const digits = Math.max(fraction(a).length, fraction(b).length);
  const sum = scaled(a, digits) + scaled(b, digits);
  const text = (sum < 0n ? -sum : sum).toString().padStart(digits + 1, "0");
  const cut = text.length - digits;
  return `${sum < 0n ? "-" : ""}${text.slice(0, cut)}${digits ? `.${text.slice(cut)}` : ""}`;
}

function fraction(decimalText) {
  return decimalText.split(".")[1] ?? "";
}

function scaled(decimalText, digits) {
  return BigInt(decimalText.split(".")[0] + fraction(decimalText).padEnd(digits, "0"));
}

/** Return the 95 % Wilson interval of a share, as the lookups compute it; nulls if there is none. */
export function wilson(successes, n) {
  if (n <= 0 || successes < 0 || successes > n) return [null, null];
  const value = successes / n;
  const scale = 1 + (Z * Z) / n;
  const middle = (value + (Z * Z) / (2 * n)) / scale;
  const half = (Z * Math.sqrt((value * (1 - value)) / n + (Z * Z) / (4 * n * n))) / scale;
  return [
    successes === 0 ? 0 : Math.max(0, middle - half),
    successes === n ? 1 : Math.min(1, middle + half),
  ];
}

/**
 * Return the difference of two rates with its 95 % interval; null if one of them has no interval.
 * R. G. Newcombe, "Interval estimation for the difference between independent proportions", method 10,
 * Statistics in Medicine 17 (1998).
 */
export function difference(now, before) {
  if (!now || !before || now.low === null || before.low === null) return null;
  const by = now.value - before.value;
  const low = by - Math.hypot(now.value - now.low, before.high - before.value);
  const high = by + Math.hypot(now.high - now.value, before.value - before.low);
  return { by, low, high, isClear: low > 0 || high < 0 };
}

/** Return a span of time in the largest unit that fits. */
export function duration(ms) {
  if (ms === null || ms === undefined) return NO_VALUE;
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${decimal.format(seconds)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export function bytes(number) {
  if (number === null || number === undefined) return NO_VALUE;
  const power = Math.min(3, Math.floor(Math.log(Math.max(1, number)) / Math.log(1000)));
  return `${decimal.format(number / 1000 ** power)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** Return the functions that write times in one zone: the reader's, or UTC. */
export function clockIn(isUtc) {
  const timeZone = isUtc ? "UTC" : undefined;
  const format = (options) => new Intl.DateTimeFormat(undefined, { ...options, timeZone });
  const time = format({ hour: "2-digit", minute: "2-digit" });
  const second = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = format({ day: "numeric", month: "short" });
  const full = format({ year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  const zone = isUtc ? "UTC" : (Intl.DateTimeFormat().resolvedOptions().timeZone ?? "local");
  return {
    time: (ms) => time.format(ms),
    second: (ms) => second.format(ms),
    day: (ms) => day.format(ms),
    full: (ms) => full.format(ms),
    range: (from, to) => full.formatRange(from, to),
    zone: isUtc || zone === "UTC" ? "UTC" : `local time, ${zone}`,
  };
}
