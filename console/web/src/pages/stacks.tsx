import { useEffect, useState } from "preact/hooks";
import { ApiError, part, post } from "../api";
import { useStore } from "../feed/use-store";
import type { Service } from "../feed/rows";
import type { Store } from "../feed/store";
import { Link, navigate } from "../router";
import { Action, CommandLine, ConfirmByName, Text } from "../parts/basics";
import { Later } from "../parts/later";
import { Moves, type Move } from "../parts/moves";
import { desiredOf } from "../parts/problems";
import { VirtualTable, type Column } from "../parts/virtual-list";
import type { LineFault } from "../parts/yaml-editor";
import { count, shellWord } from "../text";
import { serviceColumns } from "./services";

const CHECK_MS = 700;

interface Stack {
  name: string;
  services: Service[];
}

function stacksOf(store: Store): Stack[] {
  const found = new Map<string, Service[]>();
  for (const each of store.services.values()) {
    if (each.stack) found.set(each.stack, [...(found.get(each.stack) ?? []), each]);
  }
  return [...found].map(([name, services]) => ({ name, services })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function Stacks() {
  const store = useStore("services", "tasks");
  const running = (stack: Stack): number => stack.services.reduce((sum, each) => sum + store.ofService(each.id).sums.running, 0);
  const columns: Column<Stack>[] = [
    { title: "Name", width: "2fr", cell: (each) => <Link to={`/stacks/${part(each.name)}`}><Text of={each.name} /></Link> },
    { title: "Services", width: "8rem", cell: (each) => each.services.length },
    { title: "Running tasks", width: "9rem", cell: running },
  ];
  return (
    <>
      <div class="title">
        <h1>Stacks</h1>
        <Link class="button" to="/deploy">Deploy a Compose file…</Link>
      </div>
      <VirtualTable label="Stacks" rows={stacksOf(store)} columns={columns} keyOf={(each) => each.name} empty="There are no stacks yet." />
    </>
  );
}

export function StackPage({ name }: { name: string }) {
  const store = useStore("services", "tasks");
  const [removing, setRemoving] = useState(false);
  const services = [...store.services.values()].filter((each) => each.stack === name).sort((a, b) => (a.name < b.name ? -1 : 1));
  return (
    <>
      <div class="title">
        <h1><Text of={name} /></h1>
        <div class="buttons">
          <Link class="button" to={`/logs/${part(name)}`}>Logs</Link>
          <Link class="button" to={`/deploy/${part(name)}`}>Deploy another version…</Link>
          <button type="button" class="dangerous" onClick={() => setRemoving(true)}>Remove…</button>
        </div>
      </div>
      <Progress store={store} services={services} />
      <VirtualTable label="Services" rows={services} columns={serviceColumns(store)} keyOf={(each) => each.id}
        empty={store.complete ? "It has no services." : "Loading…"} />
      {removing && (
        <ConfirmByName title="Remove stack" name={name} close={() => setRemoving(false)}
          consequence={`${count(services.length, "service")} and the stack's networks, secrets and configs will be removed.`}
          line={`shoal stack rm ${shellWord(name)}`}
          do={() => post(`/api/stacks/${part(name)}/remove`, { name }).then(() => navigate("/stacks"))} />
      )}
    </>
  );
}

/** How far its services are, while some of their tasks are on their way. */
function Progress({ store, services }: { store: Store; services: Service[] }) {
  const desired = services.reduce((sum, each) => sum + (desiredOf(each) ?? 0), 0);
  const running = services.reduce((sum, each) => sum + (desiredOf(each) === null ? 0 : Math.min(desiredOf(each) ?? 0, store.ofService(each.id).sums.running)), 0);
  if (!desired || running >= desired) return null;
  return (
    <section aria-label="Progress">
      <p role="status">{running} of {count(desired, "task")} running</p>
      <progress max={desired} value={running} aria-label="Running tasks" />
    </section>
  );
}

interface Change {
  kind: string;
  name: string;
  action: string;
  fields?: { path?: string; before?: string; after?: string }[];
  moves?: Move[];
}

interface Plan {
  changes?: Change[];
  warnings?: string[];
}

const HINT = "Tab indents; Escape, then Tab leaves the editor. Control F finds, F8 goes to the next error.";

/** Paste or drop a Compose file; its errors are found while it is written, and what it changes is shown before it happens. */
export function Deploy({ stack }: { stack: string }) {
  const [name, setName] = useState(stack);
  const [text, setText] = useState(""), [replace, setReplace] = useState<{ text: string } | null>(null);
  const [prune, setPrune] = useState(false);
  const [plan, setPlan] = useState<Plan | null>(null);
  const [faults, setFaults] = useState<readonly LineFault[]>([]), [checked, setChecked] = useState(false);
  const [goTo, setGoTo] = useState<{ line: number; column: number } | null>(null);

  const changed = (fresh: string): void => {
    setText(fresh);
    setPlan(null);
    setChecked(false);
  };
  const ask = (call: "plan" | "deploy"): Promise<Plan> => post<Plan>(`/api/stacks/${part(name)}/${call}`, { text, prune });
  // The server's own parser and the managers' own rules, as soon as nothing is typed for a moment.
  useEffect(() => {
    if (!name || !text.trim()) return setFaults([]);
    let old = false;
    const timer = setTimeout(() => {
      ask("plan").then(
        () => old || (setFaults([]), setChecked(true)),
        (error: unknown) => old || !(error instanceof ApiError) || setFaults(error.faults as unknown as LineFault[]),
      );
    }, CHECK_MS);
    return () => {
      old = true;
      clearTimeout(timer);
    };
  }, [text, name, prune]);
  const send = async (call: "plan" | "deploy"): Promise<void> => {
    try {
      const found = await ask(call);
      if (call === "deploy") return navigate(`/stacks/${part(name)}`);
      setPlan(found);
      setFaults([]);
    } catch (error) {
      if (!(error instanceof ApiError) || !error.faults.length) throw error;
      setFaults(error.faults as unknown as LineFault[]);
      setPlan(null);
      throw new Error(`${count(error.faults.length, "error")} in the file`);
    }
  };

  return (
    <>
      <h1>Deploy a stack</h1>
      <div class="filters">
        <label>Name <input value={name} onInput={(event) => (setName(event.currentTarget.value), setPlan(null))} spellcheck={false} /></label>
        <label>
          <input type="checkbox" checked={prune} onChange={(event) => (setPrune(event.currentTarget.checked), setPlan(null))} />
          Remove what the file no longer defines
        </label>
        <label class="button">
          Open a file… <input type="file" accept=".yaml,.yml" class="unseen" onChange={(event) => void event.currentTarget.files?.[0]?.text().then((fresh) => setReplace({ text: fresh }))} />
        </label>
      </div>
      <Later load={() => import("../parts/yaml-editor")} props={{ label: "Compose file", hint: HINT, changed, replace, faults, goTo }} />
      <small class="quiet">{HINT}</small>
      <div class="buttons above">
        <Action do={() => send("plan")} disabled={!name || !text}>Show the plan</Action>
        <Action class="main" do={() => send("deploy")} disabled={!plan}>Deploy</Action>
        <span role="status" class="quiet">{faults.length ? count(faults.length, "error") : checked ? "No errors" : name || !text ? "" : "A stack needs a name"}</span>
      </div>
      {!!faults.length && (
        <ul class="problems" aria-label="Errors in the file">
          {faults.map((each) => (
            <li key={`${each.line}:${each.path}:${each.message}`}>
              {each.line > 0 && <button type="button" onClick={() => setGoTo({ line: each.line, column: each.column })}>Line {each.line}</button>}{" "}
              <Text of={each.path ? `${each.path}: ${each.message}` : each.message} />
            </li>
          ))}
        </ul>
      )}
      {plan && <PlanView plan={plan} />}
      {name && <CommandLine line={`shoal stack deploy -c compose.yaml${prune ? " --prune" : ""} ${shellWord(name)}`} />}
    </>
  );
}

function PlanView({ plan }: { plan: Plan }) {
  const changes = (plan.changes ?? []).filter((each) => each.action !== "unchanged");
  return (
    <section aria-label="Plan">
      <h2>{changes.length ? "What will change" : "Nothing will change"}</h2>
      {(plan.warnings ?? []).map((each) => <p key={each} class="quiet"><Text of={each} /></p>)}
      <ul>
        {changes.map((each) => (
          <li key={each.kind + each.name}>
            {each.action} {each.kind} <strong><Text of={each.name} /></strong>
            <ul>
              {(each.fields ?? []).map((field) => (
                <li key={field.path}><Text of={`${field.path ?? ""}: ${field.before || "–"} → ${field.after || "–"}`} /></li>
              ))}
            </ul>
            <Moves moves={each.moves ?? []} />
          </li>
        ))}
      </ul>
    </section>
  );
}
