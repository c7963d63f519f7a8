// Numbers and times as people read them; what the library words itself comes from the server.

/** Return a probability with two decimals; never a 0 or 1 that it is not. */
export function probability(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.005) return "< 0.01";
  if (value >= 0.995 && value < 1) return "> 0.99";
  return value.toFixed(2);
}

/** Return a time of the list on this computer's clock; today's without its day. */
export function clock(text) {
  const when = new Date(text);
  if (!text || Number.isNaN(when.getTime())) return "–";
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return when.toDateString() === new Date().toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}

/** Return a sentence's first letter as a capital. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export const STATES = ["waiting", "reading", "done", "refused", "failed"];
export const VERDICTS = ["positive", "indeterminate", "negative"];
export const SIGNS = { positive: "▲", indeterminate: "◆", negative: "○", refused: "■", failed: "✕", waiting: "…", reading: "…" };
