import { useEffect, useState } from "preact/hooks";
import { get, part, post, textOf } from "../api";
import { useStore } from "../feed/use-store";
import { isLive, type Service as ServiceRow, type Task } from "../feed/rows";
import type { Store } from "../feed/store";
import { Link, navigate, useAddress } from "../router";
import { Age } from "../parts/age";
import { Action, CommandLine, ConfirmByName, TaskState, Text } from "../parts/basics";
import { nodeName, taskName } from "../parts/names";
import { Ports } from "../parts/ports";
import { UsedBy } from "../parts/users";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { Difference } from "../parts/difference";
import { Logs } from "./logs";
import { Runs } from "./runs";
import { Running } from "./services";
import { Usage } from "./usage";
import { UpdateDialog } from "./update-dialog";
import { count, shellWord } from "../text";

const TABS = ["tasks", "runs", "logs", "usage", "revisions"] as const;

export function Service({ name }: { name: string }) {
  const all = useStore("services");
  const service = [...all.services.values()].find((each) => each.name === name || each.id === name);
  if (!service) return <><h1><Text of={name} /></h1><p>{all.complete ? "There is no such service." : "Loading…"}</p></>;
  return <Found key={service.id} id={service.id} />;
}

function Found({ id }: { id: string }) {
  const store = useStore(`service:${id}`, "nodes");
  const { query } = useAddress();
  const [removing, setRemoving] = useState(false);
  const [updating, setUpdating] = useState(false);
  const service = store.services.get(id);
  if (!service) return <p>The service was removed.</p>;
  const tabs = TABS.filter((each) => each !== "runs" || service.mode.endsWith("job"));
  const tab = tabs.find((each) => each === query.get("tab")) ?? "tasks";
  const path = `/services/${part(service.name)}`;
  return (
    <>
      <div class="title">
        <h1><Text of={service.name} /> <Running store={store} service={service} /></h1>
        <div class="buttons">
          <Link class="button" to={`/events?q=${part(service.name)}`}>Events</Link>
          {service.mode.endsWith("job") && <RunJob service={service} />}
          <button type="button" onClick={() => setUpdating(true)}>Update…</button>
          <button type="button" class="dangerous" onClick={() => setRemoving(true)}>Remove…</button>
        </div>
      </div>
      <p class="quiet">
        <Text of={service.image} />, {service.mode}, revision {service.revision}
        {service.stack && <>, stack <Link to={`/stacks/${part(service.stack)}`}><Text of={service.stack} /></Link></>}
      </p>
      {!!service.problems.length && <ul class="problems">{service.problems.map((each) => <li key={each}><Text of={each} /></li>)}</ul>}
      {!!service.ports.length && <p class="ports">Ports: <Ports store={store} ports={service.ports} /></p>}
      <UsedBy service={service} />
      {service.mode === "replicated" && !service.autoscale && <Scale service={service} />}
      {service.update && <Update store={store} service={service} />}
      <nav class="tabs" aria-label="Parts of the service">
        {tabs.map((each) => (
          <Link key={each} to={each === "tasks" ? path : `${path}?tab=${each}`} current={each === tab}>
            {each[0]!.toUpperCase() + each.slice(1)}
          </Link>
        ))}
      </nav>
      {updating && <UpdateDialog service={service} close={() => setUpdating(false)} />}
      {tab === "runs" && <Runs job={service} />}
      {tab === "tasks" && <Tasks store={store} id={id} />}
      {tab === "logs" && <Logs query={`target=${part(service.id)}`} line={`shoal service logs --follow ${shellWord(service.name)}`} />}
      {tab === "usage" && (
        <Usage query={`target=${part(service.id)}`} line={<CommandLine line={`shoal stats ${shellWord(service.name)}`} />} />
      )}
      {tab === "revisions" && <Revisions service={service} />}
      {removing && (
        <ConfirmByName title="Remove service" name={service.name} close={() => setRemoving(false)}
          consequence={`Its ${count(store.ofService(id).sums.live, "task")} will be stopped.`}
          line={`shoal service rm ${shellWord(service.name)}`}
          do={() => post(`/api/services/${part(id)}/remove`, { name: service.name }).then(() => navigate("/services"))} />
      )}
    </>
  );
}

/** By its schedule's rules, which may forbid a run beside another; without a schedule once more. */
function RunJob({ service }: { service: ServiceRow }) {
  const name = shellWord(service.name);
  return (
    <Action line={service.schedule ? `shoal service run ${name}` : `shoal service update --force ${name}`}
      do={() => post(`/api/services/${part(service.id)}/run`, {}).then(() => navigate(`/services/${part(service.name)}?tab=runs`))}>
      {service.schedule ? "Run now" : "Run again"}
    </Action>
  );
}

function Scale({ service }: { service: ServiceRow }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const replicas = chosen ?? service.replicas ?? 0;
  const send = async (): Promise<void> => {
    await post(`/api/services/${part(service.id)}/scale`, { replicas });
    setChosen(null);
  };
  const step = (by: number): void => setChosen(Math.max(0, replicas + by));
  return (
    <section class="scale" aria-label="Scale">
      <div class="stepper">
        <button type="button" aria-label="One fewer" onClick={() => step(-1)}>−</button>
        <input type="number" min={0} max={1_000_000} aria-label="Replicas" value={replicas}
          onInput={(event) => setChosen(event.currentTarget.valueAsNumber || 0)}
          onKeyDown={(event) => event.key === "Enter" && void send()} />
        <button type="button" aria-label="One more" onClick={() => step(1)}>+</button>
      </div>
      <Action class="main" do={send} disabled={replicas === service.replicas}>Scale</Action>
      {chosen !== null && chosen !== service.replicas && (
        <CommandLine line={`shoal service scale ${shellWord(service.name)}=${chosen}`} />
      )}
    </section>
  );
}

const CONTROLS: Record<string, readonly ("pause" | "resume" | "promote")[]> = {
  updating: ["pause"], rolling_back: ["pause"], paused: ["resume"], canary: ["promote", "pause"],
};

function Update({ store, service }: { store: Store; service: ServiceRow }) {
  const update = service.update;
  if (!update || update.state === "completed" || update.state === "state_unspecified") return null;
  const live = [...store.ofService(service.id).tasks.values()].filter(isLive);
  const done = live.filter((each) => each.revision >= service.taskRevision && each.state === "running").length;
  const total = service.replicas ?? live.length;
  const send = (action: string): Promise<unknown> => post(`/api/services/${part(service.id)}/update-control`, { action });
  return (
    <section class="update" aria-label="Update in progress">
      <p role="status">
        {update.state.replace("_", " ")}: {done} of {count(total, "task")} updated{update.message && <>, <Text of={update.message} /></>}
      </p>
      <progress max={total || 1} value={done} aria-label="Updated tasks" />
      <div class="buttons">
        {(CONTROLS[update.state] ?? []).map((each) => (
          <Action key={each} line={`shoal service ${each} ${shellWord(service.name)}`} do={() => send(each)}>{each[0]!.toUpperCase() + each.slice(1)}</Action>
        ))}
        <Action line={`shoal service rollback ${shellWord(service.name)}`} do={() => post(`/api/services/${part(service.id)}/rollback`, { revision: 0 })}>Roll back</Action>
      </div>
    </section>
  );
}

function Tasks({ store, id }: { store: Store; id: string }) {
  const rows = [...store.ofService(id).tasks.values()].sort(
    (a, b) => a.slot - b.slot || nodeName(store, a.node).localeCompare(nodeName(store, b.node)) ||
      Number(isLive(b)) - Number(isLive(a)) || b.since - a.since,
  );
  return <VirtualTable label="Tasks" rows={rows} columns={taskColumns(store)} keyOf={(each) => each.id} empty="It has no tasks." />;
}

export const taskColumns = (store: Store): Column<Task>[] => [
  { title: "Task", width: "12rem", cell: (each) => <TaskLink store={store} task={each} /> },
  { title: "State", width: "11rem", cell: (each) => <TaskState task={each} /> },
  { title: "Since", width: "5rem", cell: (each) => <Age since={each.since} /> },
  {
    title: "Node", width: "9rem",
    cell: (each) => each.node && <Link to={`/nodes/${part(nodeName(store, each.node))}`}><Text of={nodeName(store, each.node)} /></Link>,
  },
  { title: "Revision", width: "5rem", cell: (each) => each.revision },
  {
    title: "Terminal", width: "5rem",
    cell: (each) => each.state === "running" && <Link to={`/terminal/${part(each.id)}`} label={`Open terminal in ${taskName(store, each)}`}>Open</Link>,
  },
  { title: "Why", width: "3fr", cell: (each) => <Text of={each.message || (each.exit === null ? "" : `exit code ${each.exit}`)} /> },
];

function TaskLink({ store, task }: { store: Store; task: Task }) {
  return <Link to={`/tasks/${part(task.id)}`}><Text of={taskName(store, task)} /></Link>;
}

interface Revision {
  revision?: { number?: string; created_at_ms?: string; spec?: { task?: { container?: { image?: string } } } };
  current?: boolean;
  effective?: boolean;
  running?: number;
}

function Revisions({ service }: { service: ServiceRow }) {
  const [found, setFound] = useState<Revision[] | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    get<{ revisions?: Revision[] }>(`/api/services/${part(service.id)}/revisions`).then(
      (answer) => setFound(answer.revisions ?? []), (error: unknown) => setProblem(textOf(error)),
    );
  }, [service.id, service.revision]);
  const [compared, setCompared] = useState<number | null>(null);
  if (problem) return <p role="alert" class="problem">{problem}</p>;
  if (!found) return <p>Loading…</p>;
  const columns: Column<Revision>[] = [
    { title: "Revision", width: "7rem", cell: (each) => `${each.revision?.number ?? ""}${each.effective ? " in force" : ""}` },
    { title: "Image", width: "3fr", cell: (each) => <Text of={each.revision?.spec?.task?.container?.image ?? ""} /> },
    { title: "Running", width: "6rem", cell: (each) => each.running ?? 0 },
    { title: "Made", width: "7rem", cell: (each) => <Age since={Number(each.revision?.created_at_ms ?? 0)} /> },
    {
      title: "Actions", width: "19rem",
      cell: (each) => (
        <span class="buttons">
          {found.indexOf(each) < found.length - 1 && (
            <button type="button" onClick={() => setCompared(found.indexOf(each))}>What changed</button>
          )}
          {!each.current && (
            <Action line={`shoal service rollback --to ${each.revision?.number} ${shellWord(service.name)}`} do={() => post(`/api/services/${part(service.id)}/rollback`, { revision: Number(each.revision?.number) })}>
              Roll back to it
            </Action>
          )}
        </span>
      ),
    },
  ];
  const after = compared === null ? undefined : found[compared], before = compared === null ? undefined : found[compared + 1];
  return (
    <>
      <VirtualTable label="Revisions" rows={found} columns={columns} keyOf={(each) => each.revision?.number ?? ""} empty="" />
      {after && before && (
        <section aria-label="What changed" role="status">
          <h2>Revision {before.revision?.number} to {after.revision?.number}</h2>
          <Difference before={before.revision?.spec} after={after.revision?.spec} />
          <CommandLine line={`shoal service diff ${shellWord(service.name)} ${before.revision?.number} ${after.revision?.number}`} />
        </section>
      )}
    </>
  );
}
