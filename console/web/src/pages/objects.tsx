// Lists that are asked for, again every few seconds while they are seen.

import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { get, part, post, textOf } from "../api";
import { Link, setQuery, useAddress } from "../router";
import { Action, ConfirmByName, Dot, Text } from "../parts/basics";
import { CreateDialog, FORMS } from "../parts/create-dialog";
import { LoadDialog } from "../parts/image-archives";
import { namesAsLinks } from "../parts/users";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { ageText, count, fits, memoryText, shellWord, visible } from "../text";
import { LOOK_OF } from "../feed/rows";
import { PullDialog } from "./image";

const AGAIN_MS = 3000;

interface Row {
  id: string;
  name: string;
  [field: string]: unknown;
}

interface Kind {
  title: string;
  one: string;
  columns: readonly [title: string, width: string, cell: (row: Row) => ComponentChildren][];
  /** The command that removes one; none: it is not removed from here. */
  remove?: (name: string) => string;
  actions?: (row: Row, again: () => void) => ComponentChildren;
  above?: () => ComponentChildren;
  /** In place of a form. */
  create?: (again: () => void) => ComponentChildren;
}

const text = (field: string) => (row: Row) => <Text of={String(row[field] ?? "")} />;
const list = (field: string) => (row: Row) => <Text of={((row[field] as string[] | undefined) ?? []).join(", ")} />;
const age = (field: string) => (row: Row) => ageText(Number(row[field] ?? 0));
const nameOf = (kind: string): Kind["columns"][number] => ["Name", "2fr", (row) => <Link to={`/${kind}/${part(row.name)}`}><Text of={row.name} /></Link>];
/** Of a volume: services, and "container NAME". */
const users = (row: Row) => ((row.services as string[] | undefined) ?? []).map((each) => (each.startsWith("container ") ? namesAsLinks([each.slice(10)], "containers") : namesAsLinks([each], "services")));
const SERVICES: Kind["columns"][number] = ["Services", "2fr", (row) => namesAsLinks((row.services as string[] | undefined) ?? [], "services")];

const state = (row: Row) => (
  <span class="state"><Dot look={LOOK_OF[String(row.state)] ?? "ended"} />{String(row.state)}</span>
);

export const KINDS: Record<string, Kind> = {
  containers: {
    title: "Containers", one: "container",
    columns: [
      ["Name", "2fr", (row) => <Link to={`/containers/${part(row.name)}`}><Text of={row.name} /></Link>],
      ["State", "8rem", state], ["Image", "2fr", text("image")], ["Command", "2fr", text("command")],
      ["Node", "8rem", text("node")], ["Made", "5rem", age("created")], ["Problems", "2fr", list("problems")],
    ],
    remove: (each) => `shoal rm --force ${shellWord(each)}`,
    create: () => <Link class="button" to="/run">Run…</Link>,
    actions: (row, again) => (
      <>
        {row.state === "running"
          ? <Action label={`Stop ${row.name}`} line={`shoal stop ${shellWord(row.name)}`} do={() => post(`/api/containers/${part(row.id)}/stop`, {}).then(again)}>Stop</Action>
          : <Action label={`Start ${row.name}`} line={`shoal start ${shellWord(row.name)}`} do={() => post(`/api/containers/${part(row.id)}/start`, {}).then(again)}>Start</Action>}
        {row.state === "running" && !!row.task && <Link to={`/terminal/${part(String(row.task))}`} label={`Terminal in ${row.name}`}>Terminal</Link>}
      </>
    ),
  },
  images: {
    title: "Images", one: "image",
    columns: [
      ["Names", "3fr", (row) => <Link to={`/images/${part(row.name)}`}><Text of={((row.names as string[] | undefined) ?? []).join(", ") || row.name} /></Link>], ["Digest", "2fr", text("id")], ["Platforms", "2fr", list("platforms")],
      ["Nodes", "5rem", text("nodes")], ["Used by", "5rem", text("users")], ["Made", "5rem", age("created")],
    ],
    actions: (row) => <Link to={`/run?image=${part(row.name)}`} label={`Run ${row.name}`}>Run…</Link>,
    create: (again) => <div class="buttons"><Prune done={again} /><Load done={again} /><Pull done={again} /></div>,
  },
  networks: {
    title: "Networks", one: "network",
    columns: [
      ["Name", "2fr", (row) => <Link to={`/networks/${part(row.name)}`}><Text of={row.name} /></Link>], ["Driver", "6rem", text("driver")], ["Subnet", "2fr", text("subnet")], ["Addresses", "6rem", text("addresses")],
      ["Encrypted", "6rem", (row) => (row.encrypted ? "yes" : "")], ["Services", "2fr", list("services")], ["Problem", "2fr", text("problem")],
    ],
    remove: (each) => `shoal network rm ${shellWord(each)}`,
    above: () => <Matrix />,
  },
  volumes: {
    title: "Volumes", one: "volume",
    columns: [
      nameOf("volumes"), ["Driver", "8rem", text("driver")], ["Nodes", "2fr", list("nodes")], ["Used by", "2fr", users],
      ["Problem", "2fr", text("problem")],
    ],
    remove: (each) => `shoal volume rm ${shellWord(each)}`,
  },
  secrets: { title: "Secrets", one: "secret", columns: fileColumns("secrets"), remove: (each) => `shoal secret rm ${shellWord(each)}` },
  configs: { title: "Configs", one: "config", columns: fileColumns("configs"), remove: (each) => `shoal config rm ${shellWord(each)}` },
};

function fileColumns(kind: string): Kind["columns"] {
  return [
    nameOf(kind), ["Stack", "1fr", text("stack")], ["Size", "6rem", (row) => memoryText(Number(row.size))],
    ["Versions", "6rem", text("versions")], SERVICES, ["Changed", "5rem", age("updated")],
  ];
}

export function Objects({ kind }: { kind: string }) {
  const about = KINDS[kind]!;
  const { query } = useAddress(), filter = query.get("q") ?? "";
  const [rows, setRows] = useState<Row[] | null>(null);
  const [problem, setProblem] = useState("");
  const [removing, setRemoving] = useState<Row | null>(null);
  const [creating, setCreating] = useState(false), asked = query.get("create") === "1";
  useEffect(() => {
    if (asked) setCreating(true), setQuery({ create: "" });
  }, [asked]);
  const form = FORMS[kind];
  const load = useCallback(async (): Promise<void> => {
    try {
      setRows(await get<Row[]>(`/api/${kind}`));
      setProblem("");
    } catch (error) {
      setProblem(textOf(error));
    }
  }, [kind]);
  useEffect(() => {
    void load();
    const timer = setInterval(() => document.hidden || void load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [load]);
  const found = (rows ?? []).filter((each) => fits(Object.values(each).flat().filter((value) => typeof value === "string"), filter));
  const columns: Column<Row>[] = about.columns.map(([title, width, cell]) => ({ title, width, cell }));
  if (about.actions || about.remove) {
    columns.push({
      title: "Actions", width: "17rem",
      cell: (row) => (
        <span class="buttons">
          {about.actions?.(row, () => void load())}
          {about.remove && <button type="button" aria-label={visible(`Remove ${row.name}`)} onClick={() => setRemoving(row)}>Remove…</button>}
        </span>
      ),
    });
  }
  return (
    <>
      <div class="title">
        <h1>{about.title}</h1>
        {form && <button type="button" onClick={() => setCreating(true)}>Create…</button>}
        {about.create?.(() => void load())}
      </div>
      {creating && form && <CreateDialog kind={kind} form={form} done={() => void load()} close={() => setCreating(false)} />}
      {about.above?.()}
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <input type="search" aria-label="Filter" placeholder="Filter" value={filter}
          onInput={(event) => setQuery({ q: event.currentTarget.value })} />
        <span class="quiet" role="status">{rows ? count(found.length, about.one) : "Loading…"}</span>
      </form>
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      <VirtualTable label={about.title} rows={found} columns={columns} keyOf={(each) => each.id}
        empty={rows ? `There is no ${about.one}${filter ? " that fits the filter" : " yet"}.` : ""} />
      {removing && about.remove && (
        <ConfirmByName title={`Remove ${about.one}`} name={removing.name} close={() => setRemoving(null)}
          consequence={kind === "volumes" ? "Its data is deleted on all nodes." : "It cannot be brought back."}
          line={about.remove(removing.name)}
          do={() => post(`/api/${kind}/${part(removing.id)}/remove`, { name: removing.name }).then(load)} />
      )}
    </>
  );
}

function Load({ done }: { done: () => void }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>Load…</button>
      {open && <LoadDialog done={done} close={() => setOpen(false)} />}
    </>
  );
}

function Pull({ done }: { done: () => void }) {
  const asked = useAddress().query.get("create") === "1", [open, setOpen] = useState(false);
  useEffect(() => {
    if (asked) setOpen(true), setQuery({ create: "" });
  }, [asked]);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>Pull…</button>
      {open && <PullDialog done={done} close={() => setOpen(false)} />}
    </>
  );
}

/** Removes what nothing uses, after it has said what that is. */
function Prune({ done }: { done: () => void }) {
  const [asking, setAsking] = useState(false), [freed, setFreed] = useState("");
  const prune = async (): Promise<void> => {
    const removed = await post<{ deleted: number; bytes: number }>("/api/images/prune", { all: true });
    done();
    setFreed(`${count(removed.deleted, "name or image", "names and images")} removed, ${memoryText(removed.bytes)} of the repository`);
  };
  return (
    <>
      {freed && <span role="status" class="quiet">{freed}</span>}
      <button type="button" onClick={() => setAsking(true)}>Remove unused…</button>
      {asking && (
        <ConfirmByName title="Remove unused images" name="unused" line="shoal image prune --all" close={() => setAsking(false)} do={prune}
          consequence="All images that no service or container uses are removed from the cluster." />
      )}
    </>
  );
}

interface Path {
  sent?: number;
  received?: number;
  median_us?: number;
  mtu?: number;
  expected_mtu?: number;
}

interface Check {
  pairs?: { from_hostname: string; to_hostname: string; underlay?: Path; overlay?: Path }[];
  ports?: { service_name: string; node_hostname: string; port: number; open?: boolean; error?: string }[];
  problems?: string[];
}

/** How nodes reach each other: a row from, a column to. */
function Matrix() {
  const [found, setFound] = useState<Check | null>(null);
  const pairs = new Map((found?.pairs ?? []).map((each) => [`${each.from_hostname}\n${each.to_hostname}`, each]));
  const names = [...new Set((found?.pairs ?? []).flatMap((each) => [each.from_hostname, each.to_hostname]))].sort();
  const closed = (found?.ports ?? []).filter((each) => !each.open);
  return (
    <section aria-label="Check of the network">
      <Action line="shoal network check" do={async () => setFound(await post<Check>("/api/network-check", {}))}>Check how nodes reach each other</Action>
      {found && (
        <table class="matrix">
          <thead><tr><th scope="col">from \ to</th>{names.map((each) => <th scope="col" key={each}><Text of={each} /></th>)}</tr></thead>
          <tbody>
            {names.map((from) => (
              <tr key={from}>
                <th scope="row"><Text of={from} /></th>
                {names.map((to) => {
                  const pair = pairs.get(`${from}\n${to}`), path = pair?.overlay ?? pair?.underlay;
                  const good = path && (path.received ?? 0) === (path.sent ?? 0) && (path.mtu ?? 0) >= (path.expected_mtu ?? 0);
                  return <td key={to} class={!path ? "" : good ? "good" : "bad"}>{path ? textOfPath(path) : ""}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {found?.problems?.map((each) => <p key={each} class="problem"><Text of={each} /></p>)}
      {closed.map((each) => (
        <p key={each.service_name + each.node_hostname + each.port} class="problem">
          <Text of={`${each.service_name}: port ${each.port} on ${each.node_hostname}: ${each.error ?? "closed"}`} />
        </p>
      ))}
    </section>
  );
}

function textOfPath(path: Path): string {
  const lost = (path.sent ?? 0) - (path.received ?? 0);
  if (lost === path.sent) return "unreachable";
  const time = `${((path.median_us ?? 0) / 1000).toFixed(1)} ms`;
  if (lost) return `${time}, ${lost} lost`;
  return (path.mtu ?? 0) < (path.expected_mtu ?? 0) ? `${time}, MTU ${path.mtu}` : time;
}
