// Parts that are loaded when they are first shown.

import type { ComponentType } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

const loaded = new WeakMap<object, ComponentType<never>>();

export function Later<Props extends object>({ load, props }: {
  load: () => Promise<{ default: ComponentType<Props> }>; props: Props;
}) {
  const [part, setPart] = useState<ComponentType<Props> | null>(() => (loaded.get(load) as ComponentType<Props>) ?? null);
  const [failed, setFailed] = useState(false);
  useLayoutEffect(() => {
    if (part) return;
    load().then((found) => {
      loaded.set(load, found.default as ComponentType<never>);
      setPart(() => found.default);
    }, () => setFailed(true));
  }, []);
  if (failed) return <p role="alert" class="problem">This part could not be loaded; the console may be newer. Load the page again.</p>;
  const Part = part;
  return Part ? <Part {...props} /> : <p>Loading…</p>;
}
