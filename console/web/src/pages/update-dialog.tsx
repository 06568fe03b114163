// Another image or environment, other replicas or limits, with what it changes before it happens.

import { useEffect, useState } from "preact/hooks";
import { get, part, post, textOf } from "../api";
import type { Service } from "../feed/rows";
import { Action, CommandLine, Dialog, Text } from "../parts/basics";
import { Difference } from "../parts/difference";
import { Moves, type Move } from "../parts/moves";
import { memoryText, shellWord } from "../text";

interface Container {
  image?: string;
  env?: string[];
}

interface Spec {
  replicated?: { replicas?: number };
  task?: { container?: Container; limits?: { nano_cpus?: string; memory_bytes?: string } };
  update?: { parallelism?: number };
}

interface View {
  service?: { meta?: { version?: string }; spec?: Spec };
}

/** Fields that stay as they are where they are empty. */
const FIELDS = [
  { key: "replicas", label: "Replicas", flag: "--replicas" },
  { key: "cpus", label: "Limit of CPUs", flag: "--limit-cpu" },
  { key: "memory", label: "Limit of memory", flag: "--limit-memory" },
  { key: "parallelism", label: "Tasks updated at once", flag: "--update-parallelism" },
] as const;
type Values = Partial<Record<(typeof FIELDS)[number]["key"], string>>;

/** What is in force now, as it stands in an empty field. */
function hintsOf({ replicated, task, update }: Spec): Values {
  const cpus = Number(task?.limits?.nano_cpus ?? 0), memory = Number(task?.limits?.memory_bytes ?? 0);
  return {
    replicas: String(replicated?.replicas ?? 0), cpus: cpus ? String(cpus / 1e9) : "none", memory: memory ? memoryText(memory) : "none",
    parallelism: String(update?.parallelism ?? ""),
  };
}

export function UpdateDialog({ service, close }: { service: Service; close: () => void }) {
  const [now, setNow] = useState<View["service"] | null>(null);
  const [problem, setProblem] = useState("");
  const [image, setImage] = useState("");
  const [env, setEnv] = useState("");
  const [values, setValues] = useState<Values>({});
  const [preview, setPreview] = useState<{ after: Spec; warnings: string[]; moves: Move[] } | null>(null);
  useEffect(() => {
    get<View>(`/api/services/${part(service.id)}`).then(
      ({ service: found }) => {
        setNow(found);
        setImage(found?.spec?.task?.container?.image ?? "");
        setEnv((found?.spec?.task?.container?.env ?? []).join("\n"));
      },
      (error: unknown) => setProblem(textOf(error)),
    );
  }, [service.id]);
  const spec = now?.spec ?? {}, hints = hintsOf(spec);
  const before = now?.spec?.task?.container ?? {};
  const lines = env.split("\n").filter(Boolean);
  const send = async (dryRun: boolean): Promise<void> => {
    const changes: Record<string, unknown> = { ...values, dry_run: dryRun, version: Number(now?.meta?.version ?? 0) };
    if (image !== before.image) changes.image = image;
    if (lines.join("\n") !== (before.env ?? []).join("\n")) changes.env = lines;
    const found = await post<View & { warnings?: string[]; moves?: Move[] }>(`/api/services/${part(service.id)}/update`, changes);
    if (!dryRun) return close();
    setPreview({ after: found.service?.spec ?? {}, warnings: found.warnings ?? [], moves: found.moves ?? [] });
  };
  const edit = (change: () => void) => {
    setPreview(null);
    change();
  };
  return (
    <Dialog title="Update" close={close}>
      {problem && <p role="alert" class="problem">{problem}</p>}
      <label>Image <input value={image} spellcheck={false} onInput={(event) => edit(() => setImage(event.currentTarget.value))} /></label>
      <label>
        Environment, a NAME=VALUE a line
        <textarea rows={8} value={env} spellcheck={false} onInput={(event) => edit(() => setEnv(event.currentTarget.value))} />
      </label>
      {FIELDS.filter(({ key }) => key !== "replicas" || (service.mode === "replicated" && !service.autoscale)).map(({ key, label }) => (
        <label key={key}>
          {label}
          <input value={values[key] ?? ""} placeholder={`${hints[key] ?? ""}`} autocomplete="off" spellcheck={false}
            onInput={(event) => edit(() => setValues({ ...values, [key]: event.currentTarget.value.trim() }))} />
        </label>
      ))}
      {preview && <Preview before={spec} after={preview.after} warnings={preview.warnings} moves={preview.moves} />}
      <CommandLine line={commandLine(service.name, before, image, lines, values)} />
      <div class="buttons">
        <Action do={() => send(true)} disabled={!now}>Show what changes</Action>
        <Action class="main" do={() => send(false)} disabled={!preview}>Update</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}

function Preview({ before, after, warnings, moves }: { before: Spec; after: Spec; warnings: string[]; moves: Move[] }) {
  const was = before.task?.container ?? {}, is = after.task?.container ?? {};
  const old = new Set(was.env ?? []), fresh = new Set(is.env ?? []);
  const gone = [...old].filter((each) => !fresh.has(each)), added = [...fresh].filter((each) => !old.has(each));
  const rest = (spec: Spec): Spec => ({ ...spec, task: { ...spec.task, container: { ...spec.task?.container, image: "", env: [] } } });
  const others = differ(rest(before), rest(after)), same = was.image === is.image && !gone.length && !added.length && !others;
  return (
    <section aria-label="What changes" role="status">
      {same && <p>Nothing changes.</p>}
      {differ(before.task, after.task) && <p>All tasks are replaced, a batch at a time, as the service's update policy says.</p>}
      <ul>
        {was.image !== is.image && <li><Text of={`${was.image ?? ""} → ${is.image ?? ""}`} /></li>}
        {gone.map((each) => <li key={each}>− <Text of={each} /></li>)}
        {added.map((each) => <li key={each}>+ <Text of={each} /></li>)}
      </ul>
      {others && <Difference before={rest(before)} after={rest(after)} />}
      <Moves moves={moves} />
      {warnings.map((each) => <p key={each} class="quiet"><Text of={each} /></p>)}
    </section>
  );
}

const differ = (before: unknown, after: unknown): boolean => JSON.stringify(before) !== JSON.stringify(after);

function commandLine(name: string, before: Container, image: string, lines: string[], values: Values): string {
  const old = new Set(before.env ?? []), fresh = new Set(lines), key = (line: string): string => line.split("=", 1)[0]!;
  const kept = new Set(lines.map(key));
  const words = ["shoal service update"];
  if (image !== before.image) words.push("--image", shellWord(image));
  for (const each of fresh) if (!old.has(each)) words.push("--env-add", shellWord(each));
  for (const each of old) if (!kept.has(key(each))) words.push("--env-rm", shellWord(key(each)));
  for (const { key, flag } of FIELDS) if (values[key]) words.push(flag, shellWord(values[key]));
  return [...words, shellWord(name)].join(" ");
}
