// Who uses what: the services, tasks and containers of a volume, secret or config, and what a service uses.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, part } from "../api";
import { isLive, type Service } from "../feed/rows";
import { useStore } from "../feed/use-store";
import { Link } from "../router";
import { byName } from "../text";
import { TaskState, Text } from "./basics";
import { nodeName, taskName } from "./names";
import { VirtualTable } from "./virtual-list";

/** Names as links to their pages, `services` or the like. */
export const namesAsLinks = (names: readonly string[], kind: string): ComponentChildren =>
  names.map((each) => <span key={each} class="word"><Link to={`/${kind}/${part(each)}`}><Text of={each} /></Link></span>);

/** A list of titles and values; what is empty is left out. */
export function Facts({ facts }: { facts: readonly (readonly [title: string, value: ComponentChildren])[] }) {
  return <dl class="facts">{facts.filter(([, value]) => value).map(([title, value]) => <><dt>{title}</dt><dd>{value}</dd></>)}</dl>;
}

export const labelList = (labels: Record<string, string> = {}): ComponentChildren => !!Object.keys(labels).length && (
  <ul class="plain">{Object.entries(labels).map(([key, value]) => <li key={key}><code><Text of={`${key}=${value}`} /></code></li>)}</ul>
);

/** The live tasks of services and containers, by name. */
export function TasksOf({ services, containers = [] }: { services: readonly string[]; containers?: readonly string[] }) {
  const store = useStore("services", "tasks", "nodes");
  const owners = [
    ...[...store.services.values()].filter((each) => services.includes(each.name)),
    ...[...store.containers.values()].filter((each) => containers.includes(each.name)),
  ];
  const rows = owners.flatMap((owner) => [...store.ofService(owner.id).tasks.values()].filter(isLive))
    .map((task) => ({ task, name: taskName(store, task) })).sort(byName);
  return (
    <VirtualTable label="Tasks" rows={rows} keyOf={({ task }) => task.id} empty="No task uses it now."
      columns={[
        { title: "Task", width: "2fr", cell: ({ task, name }) => <Link to={`/tasks/${part(task.id)}`}><Text of={name} /></Link> },
        { title: "State", width: "11rem", cell: ({ task }) => <TaskState task={task} /> },
        {
          title: "Node", width: "9rem",
          cell: ({ task }) => task.node && <Link to={`/nodes/${part(nodeName(store, task.node))}`}><Text of={nodeName(store, task.node)} /></Link>,
        },
      ]} />
  );
}

interface Named {
  name?: string;
}

interface Container {
  mounts?: { type?: string; source?: string; volume?: Named }[];
  secrets?: Named[];
  configs?: Named[];
}

interface Spec {
  task?: { container?: Container };
}

/** What a service uses, as links; nothing where there is nothing. */
export function UsedBy({ service }: { service: Service }) {
  const [container, setContainer] = useState<Container>({});
  useEffect(() => {
    get<{ service?: { spec?: Spec } }>(`/api/services/${part(service.id)}`).then((found) => setContainer(found.service?.spec?.task?.container ?? {}), () => undefined);
  }, [service.id, service.revision]);
  const of = (found?: Named[]): string[] => [...new Set((found ?? []).map((each) => each.name ?? "").filter(Boolean))];
  const volumes = (container.mounts ?? []).filter((each) => each.type === "VOLUME").map((each) => ({ name: each.volume?.name || each.source || "" }));
  const used = ([["Volumes", of(volumes)], ["Secrets", of(container.secrets)], ["Configs", of(container.configs)]] as const).filter(([, names]) => names.length);
  if (!used.length) return null;
  return <Facts facts={used.map(([title, names]) => [title, namesAsLinks(names, title.toLowerCase())] as const)} />;
}
