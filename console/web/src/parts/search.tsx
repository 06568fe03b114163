// Ctrl-K: every object and every action.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { store } from "../feed/store";
import { navigate } from "../router";
import { visible } from "../text";

const SHOWN = 12;

interface Hit {
  kind: string;
  text: string;
  to: string;
}

const PAGES: Hit[] = [
  { kind: "page", text: "Overview", to: "/" },
  { kind: "page", text: "Services", to: "/services" },
  { kind: "page", text: "Stacks", to: "/stacks" },
  { kind: "action", text: "Deploy a Compose file", to: "/deploy" },
  { kind: "page", text: "Nodes", to: "/nodes" },
  { kind: "page", text: "Events", to: "/events" },
  ...["Jobs", "Containers", "Images", "Networks", "Volumes", "Secrets", "Configs", "Managers"].map(
    (text): Hit => ({ kind: "page", text, to: `/${text.toLowerCase()}` }),
  ),
  { kind: "page", text: "Services with problems", to: "/services?only=1" },
];

export function Search({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const hits = useMemo(() => find(text.trim().toLowerCase()), [text]);
  const open = (hit: Hit | undefined): void => {
    if (!hit) return;
    close();
    navigate(hit.to);
  };
  const key = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      setChosen((before) => Math.min(Math.max(0, before + step), hits.length - 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      open(hits[chosen]);
    }
  };
  return (
    <dialog ref={dialog} class="search" onClose={close} aria-label="Search">
      <input role="combobox" aria-expanded="true" aria-controls="hits" aria-activedescendant={hits.length ? `hit-${chosen}` : undefined}
        aria-label="Search everything" placeholder="Search everything" value={text} autofocus autocomplete="off"
        onInput={(event) => (setText(event.currentTarget.value), setChosen(0))} onKeyDown={key} />
      <ul id="hits" role="listbox" aria-label="Found">
        {hits.map((hit, at) => (
          <li id={`hit-${at}`} key={hit.kind + hit.to} role="option" aria-selected={at === chosen} onClick={() => open(hit)}>
            <bdi>{visible(hit.text)}</bdi> <span class="quiet">{hit.kind}</span>
          </li>
        ))}
      </ul>
      {!hits.length && <p class="quiet">Nothing found.</p>}
    </dialog>
  );
}

function find(text: string): Hit[] {
  const found = PAGES.filter((each) => each.text.toLowerCase().includes(text));
  const add = (kind: string, name: string, to: string): void => {
    if (found.length < SHOWN && name.toLowerCase().includes(text)) found.push({ kind, text: name, to });
  };
  for (const each of store.services.values()) {
    add("service", each.name, `/services/${encodeURIComponent(each.name)}`);
    if (text) add("action", `Logs of ${each.name}`, `/services/${encodeURIComponent(each.name)}?tab=logs`);
  }
  for (const each of store.nodes.values()) add("node", each.name, `/nodes/${encodeURIComponent(each.name)}`);
  return found;
}
