// Ctrl-K: every object and every action.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get } from "../api";
import { isLive } from "../feed/rows";
import { store } from "../feed/store";
import { navigate } from "../router";
import { visible } from "../text";
import { useModal } from "./basics";
import { taskName } from "./names";

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
  { kind: "action", text: "Run a container", to: "/run" },
  { kind: "action", text: "Create a service", to: "/create-service" },
  { kind: "action", text: "Pull an image", to: "/images?create=1" },
  { kind: "page", text: "Nodes", to: "/nodes" },
  { kind: "page", text: "Events", to: "/events" },
  ...["Jobs", "Containers", "Images", "Networks", "Volumes", "Secrets", "Configs", "Health"].map(
    (text): Hit => ({ kind: "page", text, to: `/${text.toLowerCase()}` }),
  ),
  { kind: "page", text: "Services with problems", to: "/services?only=1" },
  ...["network", "volume", "secret", "config"].map((one): Hit => ({ kind: "action", text: `Create a ${one}`, to: `/${one}s?create=1` })),
];

interface Row {
  id: string;
  name: string;
}

/** Objects that the feed does not have, by the kind of their list. */
type Listed = Record<string, Row[]>;
const LISTS = ["containers", "images", "networks", "volumes", "secrets", "configs"];

export function Search({ close }: { close: () => void }) {
  const dialog = useModal(), list = useRef<HTMLUListElement>(null);
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const [listed, setListed] = useState<Listed>({});
  useEffect(() => {
    for (const kind of LISTS) get<Row[]>(`/api/${kind}`).then((rows) => setListed((before) => ({ ...before, [kind]: rows })), () => undefined);
  }, []);
  const hits = useMemo(() => find(text.trim().toLowerCase(), listed), [text, listed]);
  useEffect(() => list.current?.children[chosen]?.scrollIntoView({ block: "nearest" }), [chosen]);
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
      <ul id="hits" ref={list} role="listbox" aria-label="Found">
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

function find(text: string, listed: Listed): Hit[] {
  const found = PAGES.filter((each) => each.text.toLowerCase().includes(text));
  const add = (kind: string, name: string, to: string): void => {
    if (name.toLowerCase().includes(text)) found.push({ kind, text: name, to });
  };
  for (const each of store.services.values()) {
    const to = `/services/${encodeURIComponent(each.name)}`;
    add("service", each.name, to);
    if (!text) continue;
    for (const [action, tab] of [["Logs of", "logs"], ["Usage of", "usage"], ["Revisions of", "revisions"]] as const) add("action", `${action} ${each.name}`, `${to}?tab=${tab}`);
    if (each.mode === "replicated") add("action", `Scale ${each.name}`, to);
  }
  for (const stack of new Set([...store.services.values()].map((each) => each.stack).filter(Boolean))) {
    const name = encodeURIComponent(stack);
    add("stack", stack, `/stacks/${name}`);
    if (!text) continue;
    add("action", `Logs of stack ${stack}`, `/logs/${name}`);
    add("action", `Deploy stack ${stack}`, `/deploy/${name}`);
  }
  for (const each of store.nodes.values()) {
    add("node", each.name, `/nodes/${encodeURIComponent(each.name)}`);
    if (text) add("action", `Drain ${each.name}`, `/nodes/${encodeURIComponent(each.name)}`);
  }
  if (text) {
    for (const [kind, rows] of Object.entries(listed)) for (const each of rows) add(kind.slice(0, -1), each.name, addressOf(kind, each));
    for (const each of listed.containers ?? []) for (const action of ["Logs", "Files"]) add("action", `${action} of ${each.name}`, `${addressOf("containers", each)}?tab=${action.toLowerCase()}`);
    for (const each of listed.images ?? []) add("action", `Run ${each.name}`, `/run?image=${encodeURIComponent(each.name)}`);
    for (const each of store.tasks.values()) {
      if (!isLive(each)) continue;
      const name = taskName(store, each), id = encodeURIComponent(each.id);
      add("task", name, `/tasks/${id}`);
      add("action", `Terminal in ${name}`, `/terminal/${id}`);
    }
  }
  // What begins with the text comes before what has it somewhere; actions come after objects.
  const rank = (hit: Hit): number => Number(!hit.text.toLowerCase().startsWith(text)) * 2 + Number(hit.kind === "action");
  return found.sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN);
}

const addressOf = (kind: string, row: Row): string => `/${kind}/${encodeURIComponent(row.name)}`;
