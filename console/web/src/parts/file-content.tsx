// The content of a secret or a config, typed or of a file of this machine, which is taken as it is.

import { count, numberText } from "../text";

/** Managers take no more. */
const MOST_BYTES = 500 * 1024;

/** The field of a file; one that is cleared again is null. */
export const ChooseFile = ({ choose }: { choose: (file: File | null) => void }) => (
  <label>Or a file, as it is <input type="file" onChange={(event) => choose(event.currentTarget.files?.[0] ?? null)} /></label>
);

/** A file's content as calls have it. Fails where it is larger than managers take, or cannot be read. */
export async function base64Of(file: File): Promise<string> {
  if (file.size > MOST_BYTES) throw new Error(`${file.name} is too large: ${count(file.size, "byte")}; the maximum is ${numberText(MOST_BYTES)}`);
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read; choose it again`));
    reader.readAsDataURL(file);
  });
}
