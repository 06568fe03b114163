// The fields in which two documents differ.

import { Text } from "./basics";

type Fields = Map<string, string>;

/** "task.container.env[0]": "A=1" of a document. */
function fieldsOf(value: unknown, path = "", found: Fields = new Map()): Fields {
  if (Array.isArray(value)) value.forEach((each, at) => fieldsOf(each, `${path}[${at}]`, found));
  else if (value && typeof value === "object") {
    for (const [key, each] of Object.entries(value)) fieldsOf(each, path ? `${path}.${key}` : key, found);
  } else if (value !== undefined) found.set(path, String(value));
  return found;
}

export function Difference({ before, after }: { before: unknown; after: unknown }) {
  const old = fieldsOf(before), fresh = fieldsOf(after);
  const changed = [...new Set([...old.keys(), ...fresh.keys()])].filter((each) => old.get(each) !== fresh.get(each)).sort();
  if (!changed.length) return <p>Nothing.</p>;
  return (
    <ul class="difference">
      {changed.map((each) => (
        <li key={each}>
          <code><Text of={each} /></code>: <del><Text of={old.get(each) ?? ""} /></del> <ins><Text of={fresh.get(each) ?? ""} /></ins>
        </li>
      ))}
    </ul>
  );
}
