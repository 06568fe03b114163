// Texts from the cluster are anybody's: they are shown as text, with what cannot be seen made visible.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f]/, CONTROLS = /[\u0000-\u001f\u007f]/g;
const COLOURS = /\u001b\[[0-9;:]*m/g;

/** A text with control characters and marks of direction shown as themselves. */
export const visible = (text: string): string => text.replace(HIDDEN, picture);

/** A line of a log: without changes of colour, else as `visible`. */
export const visibleLine = (text: string): string => visible(text.replace(COLOURS, "").replace(/\r$/, ""));

function picture(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

/** "1.5 CPU". */
export const cpuText = (thousandths: number): string => `${trim(thousandths / 1000)} CPU`;

export function memoryText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes, at = 0;
  while (value >= 1024 && at < units.length - 1) (value /= 1024), at++;
  return `${trim(value)} ${units[at]}`;
}

const trim = (value: number): string => value.toFixed(value < 10 ? 1 : 0).replace(/\.0$/, "");

/** Orders "web2" before "web10"; the browser's own collator takes 20 ms for a thousand nodes. */
export const byName = (a: { name: string }, b: { name: string }): number => compareNames(a.name, b.name);

function compareNames(first: string, second: string): number {
  const a = first.toLowerCase(), b = second.toLowerCase();
  let at = 0;
  while (at < a.length && a.charCodeAt(at) === b.charCodeAt(at)) at++;
  while (at > 0 && isDigit(a, at - 1)) at--;
  const numbers = isDigit(a, at) && isDigit(b, at) ? numberAt(a, at) - numberAt(b, at) : 0;
  return numbers || compare(a, b) || compare(first, second);
}

function numberAt(text: string, at: number): number {
  let end = at;
  while (isDigit(text, end)) end++;
  return Number(text.slice(at, end));
}

const isDigit = (text: string, at: number): boolean => text.charCodeAt(at) >= 48 && text.charCodeAt(at) <= 57;
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** "10,000", of a whole number. The browser's own formatter takes longer to be made than a page to be rendered. */
export const numberText = (number: number): string => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

/** "3 tasks". */
export const count = (number: number, one: string, many = `${one}s`): string =>
  `${numberText(number)} ${number === 1 ? one : many}`;

/** "5 min", of milliseconds. */
export function ageText(since: number, now = Date.now()): string {
  if (!since) return "";
  const seconds = Math.max(0, Math.round((now - since) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** "2027-02-28", in the time zone of the reader. */
export const dateText = (ms: number): string => new Date(ms).toLocaleDateString("sv-SE");

export const timeText = (ms: number): string => new Date(ms).toLocaleTimeString("en-GB");

/** Whether one of the texts has what a person looks for, in capital letters or not. */
export function fits(texts: readonly string[], sought: string): boolean {
  const wanted = sought.trim().toLowerCase();
  return !wanted || texts.some((each) => each.toLowerCase().includes(wanted));
}

/** A word of a shell. Control characters, which a terminal would obey when they are pasted, become escapes. */
export function shellWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  if (!CONTROL.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escaped = text.replace(/[\\']/g, "\\$&").replace(CONTROLS, (each) => `\\${each.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return `$'${escaped}'`;
}
