// A container of one's own, also one that has ended: what it is, and what can be done with it.

import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { ApiError, get, part, post, textOf } from "../api";
import { useStore } from "../feed/use-store";
import { LOOK_OF, type Port } from "../feed/rows";
import { Action, CommandLine, ConfirmByName, Dialog, Dot, Text } from "../parts/basics";
import { Files } from "../parts/files";
import { CommitDialog } from "../parts/image-archives";
import { Fields, flagsOf, OtherFaults, type Fault, type Field, type Values } from "../parts/form";
import { Ports } from "../parts/ports";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { Link, navigate, setQuery, useAddress } from "../router";
import { ageText, cpuText, memoryText, shellWord } from "../text";
import { Logs } from "./logs";
import { Usage } from "./usage";

const AGAIN_MS = 3000;
const TABS = ["about", "logs", "usage", "files", "processes"] as const;
const LIVE = new Set(["running", "paused", "restarting"]);

interface Mount {
  type?: string;
  source?: string;
  target?: string;
  read_only?: boolean;
  volume?: { name?: string };
}

interface Limits {
  nano_cpus?: string;
  memory_bytes?: string;
  pids?: string;
}

interface Definition {
  task?: {
    container?: { image?: string; env?: string[]; mounts?: Mount[]; user?: string; working_dir?: string; hostname?: string; labels?: Record<string, string> };
    networks?: { network?: string; aliases?: string[]; address?: string }[];
    limits?: Limits;
  };
  ports?: Partial<Port>[];
  labels?: Record<string, string>;
  restart?: { condition?: string; max_attempts?: number };
  auto_remove?: boolean;
}

interface View {
  state: string;
  container?: { meta?: { id?: string; created_at_ms?: string }; name?: string; definition?: Definition };
  status?: { problems?: string[]; mesh_ports?: Partial<Port>[] };
  task?: { id?: string };
  task_status?: { exit_code?: number; message?: string; at_ms?: string; oom_killed?: boolean; health?: string };
  node_hostname?: string;
  restart_count?: number;
  warnings?: string[];
  command?: string[];
}

export function ContainerPage({ name }: { name: string }) {
  const { query } = useAddress();
  const [view, setView] = useState<View | null>(null), [problem, setProblem] = useState("");
  const [asking, setAsking] = useState<"remove" | "rename" | "kill" | "update" | "commit" | null>(null);
  const load = useCallback(async (): Promise<void> => {
    try {
      setView(await get<View>(`/api/containers/${part(name)}`));
      setProblem("");
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) setView(null);
      setProblem(textOf(error));
    }
  }, [name]);
  const id = view?.container?.meta?.id ?? "", store = useStore(`service:${id}`);
  const newest = [...store.ofService(id).tasks.values()].map((each) => `${each.id} ${each.state} ${each.flags}`).join();
  useEffect(() => {
    void load();
    const timer = setInterval(() => document.hidden || void load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [load, newest]);
  if (!view) return <><h1>Container <Text of={name} /></h1>{problem ? <p role="alert" class="problem"><Text of={problem} /></p> : <p>Loading…</p>}</>;
  const live = LIVE.has(view.state), address = `/containers/${part(name)}`, task = view.task?.id;
  const tabs = TABS.filter((each) => (each !== "usage" && each !== "processes") || live);
  const tab = tabs.find((each) => each === query.get("tab")) ?? "about";
  const act = (what: string, title: string) => (
    <Action key={what} line={`shoal ${what} ${shellWord(name)}`} do={() => post(`/api/containers/${part(id)}/${what}`, {}).then(load)}>{title}</Action>
  );
  const failed = query.get("problem");
  return (
    <>
      <div class="title">
        <h1><Text of={name} /> <span class="state"><Dot look={LOOK_OF[view.state] ?? "ended"} />{stateText(view)}</span></h1>
        <div class="buttons">
          {!live && act("start", "Start")}
          {live && act("stop", "Stop")}
          {live && act("restart", "Restart")}
          {view.state === "running" && act("pause", "Pause")}
          {view.state === "paused" && act("unpause", "Unpause")}
          {view.state === "running" && task && <Link class="button" to={`/terminal/${part(task)}`}>Terminal</Link>}
          {live && <button type="button" onClick={() => setAsking("kill")}>Kill…</button>}
          <button type="button" onClick={() => setAsking("commit")}>Commit…</button>
          <button type="button" onClick={() => setAsking("rename")}>Rename…</button>
          <button type="button" onClick={() => setAsking("update")}>Limits…</button>
          <button type="button" class="dangerous" onClick={() => setAsking("remove")}>Remove…</button>
        </div>
      </div>
      {failed && <p role="alert" class="problem">It was created and did not start: <Text of={failed} /> <button type="button" onClick={() => setQuery({ problem: "" })}>Close</button></p>}
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      {[...(view.status?.problems ?? []), ...(view.warnings ?? [])].map((each) => <p key={each} class="problem"><Text of={each} /></p>)}
      <nav class="tabs" aria-label="Parts of the container">
        {tabs.map((each) => (
          <Link key={each} to={each === "about" ? address : `${address}?tab=${each}`} current={each === tab}>{each[0]!.toUpperCase() + each.slice(1)}</Link>
        ))}
      </nav>
      {tab === "about" && <About view={view} name={name} />}
      {tab === "logs" && <Logs query={`target=${part(id)}`} line={`shoal logs --follow ${shellWord(name)}`} />}
      {tab === "usage" && task && <Usage query={`target=${part(task)}`} line={<CommandLine line={`shoal stats ${shellWord(name)}`} />} />}
      {tab === "files" && <Files container={name} address={address} />}
      {tab === "processes" && <Processes name={name} />}
      {asking === "kill" && <Kill name={name} id={id} close={() => setAsking(null)} />}
      {asking === "commit" && <CommitDialog container={name} id={id} close={() => setAsking(null)} />}
      {asking === "rename" && <Rename name={name} id={id} close={() => setAsking(null)} />}
      {asking === "update" && <Limiting name={name} id={id} view={view} done={load} close={() => setAsking(null)} />}
      {asking === "remove" && (
        <ConfirmByName title="Remove container" name={name} close={() => setAsking(null)}
          consequence={live ? "It is killed, and its files are deleted; volumes with a name stay." : "Its files are deleted; volumes with a name stay."}
          line={`shoal rm --force ${shellWord(name)}`}
          do={() => post(`/api/containers/${part(id)}/remove`, { name }).then(() => navigate("/containers"))} />
      )}
    </>
  );
}

function stateText({ state, task_status: status }: View): string {
  if (state !== "exited") return status?.health && state === "running" && status.health !== "HEALTH_UNSPECIFIED" ? `${state}, ${status.health.toLowerCase()}` : state;
  return `exited with code ${status?.exit_code ?? 0}${status?.at_ms ? ` ${ageText(Number(status.at_ms))} ago` : ""}`;
}

/** With the numbers that were chosen for those that name none. */
function portsOf(view: View): Port[] {
  const chosen = view.status?.mesh_ports ?? [], protocol = (text = "TCP"): string => text.toLowerCase().replace("protocol_unspecified", "tcp");
  return (view.container?.definition?.ports ?? []).map(({ published, target = 0, protocol: name }) => ({
    published: published || chosen.find((each) => each.target === target)?.published || 0, target, protocol: protocol(name), mode: "ingress",
  }));
}

function About({ view, name }: { view: View; name: string }) {
  const store = useStore("nodes");
  const definition = view.container?.definition ?? {}, container = definition.task?.container ?? {}, limits = definition.task?.limits ?? {};
  const restart = (definition.restart?.condition ?? "NO").toLowerCase().replaceAll("_", "-");
  const limit = [
    limits.nano_cpus && cpuText(Number(limits.nano_cpus) / 1e6), limits.memory_bytes && memoryText(Number(limits.memory_bytes)), limits.pids && `${limits.pids} processes`,
  ].filter(Boolean).join(", ");
  const facts: readonly (readonly [string, ComponentChildren])[] = [
    ["Image", <Link to={`/images/${part(container.image ?? "")}`}><Text of={(container.image ?? "").split("@")[0] ?? ""} /></Link>],
    ["Command", <code><Text of={(view.command ?? []).map(shellWord).join(" ")} /></code>],
    ["Node", view.node_hostname && <Link to={`/nodes/${part(view.node_hostname)}`}><Text of={view.node_hostname} /></Link>],
    ["Why", view.state === "exited" && view.task_status?.message && <Text of={view.task_status.message} />],
    ["Made", `${ageText(Number(view.container?.meta?.created_at_ms ?? 0))} ago`],
    ["Restarts", view.restart_count || ""],
    ["Restart policy", `${restart}${definition.restart?.max_attempts ? `, at most ${definition.restart.max_attempts}` : ""}${definition.auto_remove ? ", removed when it has ended" : ""}`],
    ["Limits", limit || "none"],
    ["User", container.user && <Text of={container.user} />],
    ["Working directory", container.working_dir && <code><Text of={container.working_dir} /></code>],
    ["Ports", !!definition.ports?.length && <span class="ports"><Ports store={store} ports={portsOf(view)} /></span>],
    ["Networks", list((definition.task?.networks ?? []).map((each) => [each.network, each.address].filter(Boolean).join(" ")))],
    ["Mounts", list((container.mounts ?? []).map((each) => `${each.volume?.name || each.source || (each.type ?? "").toLowerCase()} → ${each.target}${each.read_only ? ", read-only" : ""}`))],
    ["Environment", list(container.env ?? [])],
    ["Labels", list(Object.entries(definition.labels ?? {}).map(([key, value]) => `${key}=${value}`))],
    ["ID", <code>{view.container?.meta?.id ?? ""}</code>],
  ];
  return (
    <>
      <dl class="facts">{facts.filter(([, value]) => value).map(([title, value]) => <><dt>{title}</dt><dd>{value}</dd></>)}</dl>
      <CommandLine line={`shoal inspect ${shellWord(name)}`} />
    </>
  );
}

const list = (texts: string[]): ComponentChildren => !!texts.length && <ul class="plain">{texts.map((each) => <li key={each}><code><Text of={each} /></code></li>)}</ul>;

interface Table {
  titles?: string[];
  processes?: { cells?: string[] }[];
}

function Processes({ name }: { name: string }) {
  const [table, setTable] = useState<Table>({}), [problem, setProblem] = useState("");
  useEffect(() => {
    const load = (): void => void get<Table>(`/api/containers/${part(name)}/processes`).then((found) => (setTable(found), setProblem("")), (error: unknown) => setProblem(textOf(error)));
    load();
    const timer = setInterval(() => document.hidden || load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [name]);
  const titles = table.titles ?? [], rows = (table.processes ?? []).map((each, at) => ({ at: String(at), cells: each.cells ?? [] }));
  const columns: Column<(typeof rows)[number]>[] = titles.map((title, at) => ({ title, width: at === titles.length - 1 ? "4fr" : "1fr", cell: (row) => <Text of={row.cells[at] ?? ""} /> }));
  return (
    <>
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      <VirtualTable label="Processes" rows={rows} columns={columns} keyOf={(each) => each.at} empty="" />
      <CommandLine line={`shoal top ${shellWord(name)}`} />
    </>
  );
}

const SIGNALS = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

function Kill({ name, id, close }: { name: string; id: string; close: () => void }) {
  const [signal, setSignal] = useState<string>(SIGNALS[0]);
  return (
    <Dialog title="Send a signal" close={close}>
      <label>Signal <select value={signal} onChange={(event) => setSignal(event.currentTarget.value)}>{SIGNALS.map((each) => <option key={each}>{each}</option>)}</select></label>
      <CommandLine line={`shoal kill --signal ${signal} ${shellWord(name)}`} />
      <div class="buttons">
        <Action class="dangerous" do={() => post(`/api/containers/${part(id)}/kill`, { signal }).then(close)}>Send</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}

function Rename({ name, id, close }: { name: string; id: string; close: () => void }) {
  const [fresh, setFresh] = useState(name);
  const rename = async (): Promise<void> => {
    await post(`/api/containers/${part(id)}/rename`, { name: fresh });
    close();
    navigate(`/containers/${part(fresh)}`, true);
  };
  return (
    <Dialog title="Rename container" close={close}>
      <label>New name <input value={fresh} autocomplete="off" spellcheck={false} onInput={(event) => setFresh(event.currentTarget.value)} /></label>
      <CommandLine line={`shoal rename ${shellWord(name)} ${shellWord(fresh)}`} />
      <div class="buttons">
        <Action class="main" do={rename} disabled={!fresh || fresh === name}>Rename</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}

const LIMITS: readonly Field[] = [
  { key: "cpus", label: "CPUs", flag: "--cpus", hint: "1.5" },
  { key: "memory", label: "Memory", flag: "--memory", hint: "512M" },
  { key: "pids", label: "Processes", flag: "--pids-limit" },
  { key: "restart", label: "Restart policy", flag: "--restart", hint: "no, on-failure:3, always or unless-stopped", offers: ["no", "on-failure", "always", "unless-stopped"] },
];

function Limiting({ name, id, view, done, close }: { name: string; id: string; view: View; done: () => Promise<void>; close: () => void }) {
  const [values, setValues] = useState<Values>({}), [faults, setFaults] = useState<readonly Fault[]>([]);
  const flags = flagsOf(LIMITS, values), limits = view.container?.definition?.task?.limits;
  const send = async (): Promise<void> => {
    try {
      await post(`/api/containers/${part(id)}/update`, values);
      await done();
      close();
    } catch (error) {
      if (!(error instanceof ApiError) || !error.faults.length) throw error;
      setFaults(error.faults);
    }
  };
  return (
    <Dialog title="Change limits" close={close}>
      <p class="quiet">
        Now {limits?.nano_cpus ? cpuText(Number(limits.nano_cpus) / 1e6) : "no limit of CPUs"}, {limits?.memory_bytes ? memoryText(Number(limits.memory_bytes)) : "no limit of memory"}.
        What is empty stays as it is.
      </p>
      <Fields fields={LIMITS} values={values} faults={faults} set={(key, value) => (setValues((before) => ({ ...before, [key]: value })), setFaults([]))} />
      <OtherFaults fields={LIMITS} faults={faults} />
      <CommandLine line={["shoal update", ...flags, shellWord(name)].join(" ")} />
      <div class="buttons">
        <Action class="main" do={send} disabled={!flags.length}>Change</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}
