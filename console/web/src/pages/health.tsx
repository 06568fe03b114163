// The cluster's own health: managers, etcd, certificates, versions.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, part, textOf } from "../api";
import { useStore } from "../feed/use-store";
import type { Look, Node } from "../feed/rows";
import { Link } from "../router";
import { Dot, Meter, Text } from "../parts/basics";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { ageText, byName, count, dateText, memoryText } from "../text";

const AGAIN_MS = 3000, DAY_MS = 86_400_000;
/** They last 90 days and are renewed after half of that: one with less left was not. */
const SOON_DAYS = 30;

interface Manager {
  id: string;
  address: string;
  state: "leader" | "ready" | "down";
  nodes: number;
  version: string;
  started: number;
  certificate: number;
  problem: string;
}

interface Member {
  endpoint?: string;
  version?: string;
  database_bytes?: string;
  used_bytes?: string;
  problem?: string;
  leader?: boolean;
}

interface Members {
  members?: Member[];
  quota_bytes?: string;
}

/** What an address answers, asked again while the page is seen. */
function useAnswer<T>(path: string): { found: T | null; problem: string } {
  const [state, setState] = useState<{ found: T | null; problem: string }>({ found: null, problem: "" });
  useEffect(() => {
    const load = (): void => {
      get<T>(path).then(
        (found) => setState({ found, problem: "" }),
        (error: unknown) => setState((before) => ({ ...before, problem: textOf(error) })),
      );
    };
    load();
    const timer = setInterval(() => document.hidden || load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [path]);
  return state;
}

export function Health() {
  const managers = useAnswer<Manager[]>("/api/managers"), store = useAnswer<Members>("/api/store");
  const session = useAnswer<{ authority: number; version: string }>("/api/session");
  return (
    <>
      <h1>Health</h1>
      <Warnings />
      <Part title="Managers" problem={managers.problem}>
        <VirtualTable label="Managers" rows={managers.found ?? []} columns={MANAGERS} keyOf={(each) => each.id} empty={managers.found ? "" : "Loading…"} />
      </Part>
      <Part title="etcd" problem={store.problem}>
        <VirtualTable label="Members of etcd" rows={store.found?.members ?? []} columns={membersOf(Number(store.found?.quota_bytes ?? 0))}
          keyOf={(each) => each.endpoint ?? ""} empty={store.found ? "" : "Loading…"} />
      </Part>
      <Certificates authority={session.found?.authority ?? 0} />
      <Versions managers={managers.found ?? []} console={session.found?.version ?? ""} />
    </>
  );
}

function Warnings() {
  const { clusterWarnings } = useStore("problems");
  if (!clusterWarnings.length) return null;
  return <ul class="problems" aria-label="What is wrong">{clusterWarnings.map((each) => <li key={each}><Text of={each} /></li>)}</ul>;
}

function Part({ title, problem, children }: { title: string; problem?: string; children: ComponentChildren }) {
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      {children}
    </section>
  );
}

const LOOKS: Record<Manager["state"], Look> = { leader: "running", ready: "running", down: "failed" };

const MANAGERS: Column<Manager>[] = [
  { title: "ID", width: "2fr", cell: (each) => <Text of={each.id} /> },
  { title: "State", width: "7rem", cell: (each) => <span class="state"><Dot look={LOOKS[each.state]} />{each.state}</span> },
  { title: "Address", width: "2fr", cell: (each) => <Text of={each.address} /> },
  { title: "Nodes", width: "5rem", cell: (each) => each.nodes },
  { title: "Version", width: "6rem", cell: (each) => <Text of={each.version} /> },
  { title: "Started", width: "6rem", cell: (each) => ageText(each.started) },
  { title: "Certificate", width: "12rem", cell: (each) => <Expiry at={each.certificate} /> },
  { title: "Problem", width: "2fr", cell: (each) => <Text of={each.problem} /> },
];

const membersOf = (quota: number): Column<Member>[] => [
  { title: "Member", width: "2fr", cell: (each) => <Text of={each.endpoint ?? ""} /> },
  {
    title: "State", width: "8rem",
    cell: (each) => (
      <span class="state">
        <Dot look={each.problem || !each.version ? "failed" : "running"} />{!each.version ? "silent" : each.leader ? "leader" : "follower"}
      </span>
    ),
  },
  { title: "Version", width: "6rem", cell: (each) => each.version ?? "" },
  { title: "Database", width: "19rem", cell: (each) => <Database member={each} quota={quota} /> },
  { title: "In use", width: "6rem", cell: (each) => memoryText(Number(each.used_bytes ?? 0)) },
  { title: "Problem", width: "3fr", cell: (each) => <Text of={each.problem ?? ""} /> },
];

/** The size of its file, of that at which writes are rejected. */
function Database({ member, quota }: { member: Member; quota: number }) {
  const bytes = Number(member.database_bytes ?? 0);
  if (!quota) return <>{memoryText(bytes)}</>;
  return <Meter label="" name="Database of its quota" used={bytes} total={quota} text={`${memoryText(bytes)} of ${memoryText(quota)}`} />;
}

function Expiry({ at }: { at: number }) {
  if (!at) return <span class="quiet">unknown</span>;
  const days = Math.floor((at - Date.now()) / DAY_MS);
  if (days < 0) return <span class="problem">expired {dateText(at)}</span>;
  return <span class={days < SOON_DAYS ? "problem" : ""}>{dateText(at)}, {count(days, "day")}</span>;
}

/** Those of nodes, the first to expire first. */
function Certificates({ authority }: { authority: number }) {
  const store = useStore("nodes");
  const nodes = [...store.nodes.values()].sort((a, b) => a.certificate - b.certificate || byName(a, b));
  const columns: Column<Node>[] = [
    { title: "Node", width: "2fr", cell: (each) => <Link to={`/nodes/${part(each.name)}`}><Text of={each.name} /></Link> },
    { title: "State", width: "8rem", cell: (each) => each.state },
    { title: "Version", width: "8rem", cell: (each) => <Text of={each.version} /> },
    { title: "Certificate expires", width: "3fr", cell: (each) => <Expiry at={each.certificate} /> },
  ];
  return (
    <Part title="Certificates">
      <p>
        Certificate of the cluster's authority: <Expiry at={authority} />.{" "}
        <span class="quiet">Those of managers and nodes are renewed by themselves after half of their 90 days.</span>
      </p>
      <VirtualTable label="Certificates of nodes" rows={nodes} columns={columns} keyOf={(each) => each.id} empty="There are no nodes yet." />
    </Part>
  );
}

function Versions({ managers, console }: { managers: readonly Manager[]; console: string }) {
  const { nodes } = useStore("nodes");
  const texts = [counted(managers, "manager"), counted([...nodes.values()], "node"), `this console: ${console}`];
  return (
    <Part title="Versions">
      <ul>{texts.filter(Boolean).map((each) => <li key={each}><Text of={each} /></li>)}</ul>
    </Part>
  );
}

/** "3 managers: 0.1.0"; "2 nodes: 0.1.0; 1 node: 0.2.0". */
function counted(rows: readonly { version: string }[], one: string): string {
  const versions = new Map<string, number>();
  for (const { version } of rows) versions.set(version, (versions.get(version) ?? 0) + 1);
  return [...versions].sort(([a], [b]) => (a < b ? -1 : 1)).map(([version, number]) => `${count(number, one)}: ${version || "unknown"}`).join("; ");
}
