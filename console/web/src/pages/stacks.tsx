import { useRef, useState } from "preact/hooks";
import { ApiError, part, post } from "../api";
import { useStore } from "../feed/use-store";
import type { Service } from "../feed/rows";
import type { Store } from "../feed/store";
import { Link, navigate } from "../router";
import { Action, CommandLine, ConfirmByName, Text } from "../parts/basics";
import { Moves, type Move } from "../parts/moves";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { count, shellWord } from "../text";
import { serviceColumns } from "./services";

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
    { title: "Running tasks", width: "8rem", cell: running },
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

interface Fault {
  line: number;
  column: number;
  path: string;
  message: string;
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

/** Paste or drop a Compose file; what it changes is shown before it happens. */
export function Deploy({ stack }: { stack: string }) {
  const [name, setName] = useState(stack);
  const [text, setText] = useState("");
  const [prune, setPrune] = useState(false);
  const [plan, setPlan] = useState<Plan | null>(null);
  const [faults, setFaults] = useState<Fault[]>([]);
  const editor = useRef<HTMLTextAreaElement>(null);

  const changed = (fresh: string): void => {
    setText(fresh);
    setPlan(null);
    setFaults([]);
  };
  const drop = async (event: DragEvent): Promise<void> => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    changed(await file.text());
  };
  const send = async (call: "plan" | "deploy"): Promise<void> => {
    try {
      const found = await post<Plan>(`/api/stacks/${part(name)}/${call}`, { text, prune });
      if (call === "deploy") return navigate(`/stacks/${part(name)}`);
      setPlan(found);
      setFaults([]);
    } catch (error) {
      if (!(error instanceof ApiError) || !error.faults.length) throw error;
      setFaults(error.faults as unknown as Fault[]);
      setPlan(null);
      throw new Error(`${count(error.faults.length, "error")} in the file`);
    }
  };
  const goTo = (fault: Fault): void => {
    const element = editor.current;
    if (!element || !fault.line) return;
    const lines = text.split("\n"), begin = lines.slice(0, fault.line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    element.focus();
    element.setSelectionRange(begin, begin + (lines[fault.line - 1]?.length ?? 0));
    element.scrollTop = ((fault.line - 4) * element.scrollHeight) / Math.max(1, lines.length);
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
      </div>
      <div class="editor">
        <Numbers lines={text.split("\n").length} wrong={new Set(faults.map((each) => each.line))} of={editor} />
        <textarea ref={editor} aria-label="Compose file" placeholder="Paste or drop a Compose file" value={text} spellcheck={false}
          wrap="off" rows={20} onInput={(event) => changed(event.currentTarget.value)} onDrop={drop} />
      </div>
      <div class="buttons">
        <Action do={() => send("plan")} disabled={!name || !text}>Show the plan</Action>
        <Action class="main" do={() => send("deploy")} disabled={!plan}>Deploy</Action>
      </div>
      {!!faults.length && (
        <ul class="problems" aria-label="Errors in the file">
          {faults.map((each) => (
            <li key={`${each.line}:${each.path}:${each.message}`}>
              {each.line > 0 && <button type="button" onClick={() => goTo(each)}>Line {each.line}</button>}{" "}
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

function Numbers({ lines, wrong, of }: { lines: number; wrong: Set<number>; of: { current: HTMLTextAreaElement | null } }) {
  const numbers = useRef<HTMLPreElement>(null);
  if (of.current) of.current.onscroll = () => numbers.current?.scrollTo({ top: of.current?.scrollTop ?? 0 });
  return (
    <pre class="numbers" ref={numbers} aria-hidden="true">
      {Array.from({ length: lines }, (_, at) => <span key={at} class={wrong.has(at + 1) ? "wrong" : ""}>{at + 1}{"\n"}</span>)}
    </pre>
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
