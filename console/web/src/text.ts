// Texts from the cluster are anybody's: they are shown as text, with what cannot be seen made visible.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
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

const collator = new Intl.Collator("en", { numeric: true });

/** Orders "web2" before "web10"; a collator of its own each time would cost a hundredfold. */
export const byName = (a: { name: string }, b: { name: string }): number => collator.compare(a.name, b.name);

/** "3 tasks". */
export const count = (number: number, one: string, many = `${one}s`): string =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

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

/** A word of a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
