// Parts that are loaded when they are first shown.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";

export function Later<Props extends object>({ load, props }: {
  load: () => Promise<{ default: ComponentType<Props> }>; props: Props;
}) {
  const [part, setPart] = useState<{ Part: ComponentType<Props> } | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    load().then((found) => setPart({ Part: found.default }), () => setFailed(true));
  }, []);
  if (failed) return <p role="alert" class="problem">This part could not be loaded; the console may be newer. Load the page again.</p>;
  return part ? <part.Part {...props} /> : <p>Loading…</p>;
}
