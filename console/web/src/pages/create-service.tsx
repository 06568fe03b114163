// A service by a form, with the planner's dry run before it is created.

import { useState } from "preact/hooks";
import { ApiError, part, post } from "../api";
import { Action, CommandLine, Text } from "../parts/basics";
import { documentOf, Fields, flagsOf, OtherFaults, type Fault, type Field, type Values } from "../parts/form";
import { Moves, type Move } from "../parts/moves";
import { navigate, useAddress } from "../router";
import { shellWord } from "../text";

const MODES = ["replicated", "global", "replicated-job", "global-job"] as const;
const RESTARTS = ["any", "on-failure", "none"] as const;
const ORDERS = ["stop-first", "start-first"] as const;

/** "data:/data:ro" as `--mount` has it. */
function mountOf(text: string): string {
  const [source, target, mode] = text.includes(":") ? text.split(":") : ["", text];
  const type = /^[/.~]/.test(source ?? "") ? "bind" : "volume";
  return [`type=${type}`, source && `source=${source}`, `target=${target}`, (mode ?? "").split(",").includes("ro") && "readonly"].filter(Boolean).join(",");
}

const BASIC: readonly Field[] = [
  { key: "name", label: "Name", flag: "--name" },
  { key: "image", label: "Image" },
  { key: "command", label: "Command", hint: "The image's if empty; words as in a shell" },
  { key: "mode", label: "Mode", kind: MODES, flag: "--mode", hint: "Jobs run to their end" },
  { key: "replicas", label: "Replicas", flag: "--replicas", hint: "1 if empty; of a job how often it runs" },
  { key: "ports", label: "Ports, one a line", kind: "lines", flag: "--publish", hint: "8080:80; every node answers" },
  { key: "networks", label: "Networks, one a line", kind: "lines", flag: "--network" },
  { key: "volumes", label: "Volumes, one a line", kind: "lines", flag: "--mount", flagValue: mountOf, hint: "data:/var/lib/data, or data:/data:ro" },
  { key: "env", label: "Environment, one a line", kind: "lines", flag: "--env", hint: "NAME=value" },
  { key: "reserved_cpus", label: "Reserved CPUs", flag: "--reserve-cpu", hint: "0.25; what the planner places by" },
  { key: "reserved_memory", label: "Reserved memory", flag: "--reserve-memory", hint: "128M" },
];
const ADVANCED: readonly Field[] = [
  { key: "cpus", label: "Limit of CPUs", flag: "--limit-cpu" },
  { key: "memory", label: "Limit of memory", flag: "--limit-memory" },
  { key: "pids", label: "Limit of processes", flag: "--limit-pids" },
  { key: "constraints", label: "Constraints, one a line", kind: "lines", flag: "--constraint", hint: "node.labels.disk == ssd" },
  { key: "restart", label: "Restart", kind: RESTARTS, flag: "--restart-condition" },
  { key: "parallelism", label: "Tasks updated at once", flag: "--update-parallelism", hint: "1 if empty" },
  { key: "order", label: "Order of updates", kind: ORDERS, flag: "--update-order" },
  { key: "schedule", label: "Schedule, of a job", flag: "--schedule", hint: "0 3 * * *, as crontab(5) has it" },
  { key: "entrypoint", label: "Entrypoint", flag: "--entrypoint" },
  { key: "user", label: "User", flag: "--user" },
  { key: "workdir", label: "Working directory", flag: "--workdir" },
  { key: "labels", label: "Labels, one a line", kind: "lines", flag: "--label", hint: "NAME=value" },
];
const ALL = [...BASIC, ...ADVANCED];

interface Planned {
  warnings?: string[];
  moves?: Move[];
}

export function CreateService() {
  const { query } = useAddress();
  const [values, setValues] = useState<Values>({ mode: "replicated", restart: "any", order: "stop-first", image: query.get("image") ?? "" });
  const [faults, setFaults] = useState<readonly Fault[]>([]);
  const [plan, setPlan] = useState<Planned | null>(null);
  const set = (key: string, value: string | boolean): void => {
    setValues((before) => ({ ...before, [key]: value }));
    setFaults((before) => before.filter((each) => each.path !== key));
    setPlan(null);
  };
  const send = async (dryRun: boolean): Promise<void> => {
    const document: Record<string, unknown> = { ...documentOf(ALL, values), dry_run: dryRun };
    if (values.restart === "any") document.restart = "";
    if (values.order === "stop-first") document.order = "";
    setFaults([]);
    try {
      const found = await post<Planned>("/api/services", document);
      if (dryRun) setPlan(found);
      else navigate(`/services/${part(String(values.name))}`);
    } catch (error) {
      setPlan(null);
      if (!(error instanceof ApiError) || !error.faults.length) throw error;
      setFaults(error.faults);
      throw new Error("see the fields above");
    }
  };
  const line = ["shoal service create", ...flagsOf(ALL, values), shellWord(String(values.image || "IMAGE")), values.command].filter(Boolean).join(" ");
  return (
    <>
      <h1>Create a service</h1>
      <Fields fields={BASIC} values={values} faults={faults} set={set} />
      <details open={faults.some((fault) => ADVANCED.some((field) => field.key === fault.path)) || undefined}>
        <summary>Advanced</summary>
        <Fields fields={ADVANCED} values={values} faults={faults} set={set} />
      </details>
      <OtherFaults fields={ALL} faults={faults} />
      {plan && (
        <section aria-label="Plan" role="status">
          <h2>Where its tasks will run</h2>
          {(plan.warnings ?? []).map((each) => <p key={each} class="quiet"><Text of={each} /></p>)}
          {plan.moves?.length ? <Moves moves={plan.moves} /> : <p>No task starts now.</p>}
        </section>
      )}
      <CommandLine line={line} />
      <div class="buttons">
        <Action do={() => send(true)} disabled={!values.name || !values.image}>Show where it goes</Action>
        <Action class="main" do={() => send(false)} disabled={!plan}>Create</Action>
      </div>
    </>
  );
}
