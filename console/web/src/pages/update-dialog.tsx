// Another image or environment, with what it changes before it happens.

import { useEffect, useState } from "preact/hooks";
import { get, part, post, textOf } from "../api";
import type { Service } from "../feed/rows";
import { Action, CommandLine, Dialog, Text } from "../parts/basics";
import { Moves, type Move } from "../parts/moves";
import { shellWord } from "../text";

interface Container {
  image?: string;
  env?: string[];
}

interface View {
  service?: { meta?: { version?: string }; spec?: { task?: { container?: Container } } };
}

export function UpdateDialog({ service, close }: { service: Service; close: () => void }) {
  const [now, setNow] = useState<View["service"] | null>(null);
  const [problem, setProblem] = useState("");
  const [image, setImage] = useState("");
  const [env, setEnv] = useState("");
  const [preview, setPreview] = useState<{ after: Container; warnings: string[]; moves: Move[] } | null>(null);
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
  const before = now?.spec?.task?.container ?? {};
  const lines = env.split("\n").filter(Boolean);
  const send = async (dryRun: boolean): Promise<void> => {
    const changes: Record<string, unknown> = { dry_run: dryRun, version: Number(now?.meta?.version ?? 0) };
    if (image !== before.image) changes.image = image;
    if (lines.join("\n") !== (before.env ?? []).join("\n")) changes.env = lines;
    const found = await post<View & { warnings?: string[]; moves?: Move[] }>(`/api/services/${part(service.id)}/update`, changes);
    if (!dryRun) return close();
    setPreview({ after: found.service?.spec?.task?.container ?? {}, warnings: found.warnings ?? [], moves: found.moves ?? [] });
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
      {preview && <Preview before={before} after={preview.after} warnings={preview.warnings} moves={preview.moves} />}
      <CommandLine line={commandLine(service.name, before, image, lines)} />
      <div class="buttons">
        <Action do={() => send(true)} disabled={!now}>Show what changes</Action>
        <Action class="main" do={() => send(false)} disabled={!preview}>Update</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}

function Preview({ before, after, warnings, moves }: { before: Container; after: Container; warnings: string[]; moves: Move[] }) {
  const old = new Set(before.env ?? []), fresh = new Set(after.env ?? []);
  const gone = [...old].filter((each) => !fresh.has(each)), added = [...fresh].filter((each) => !old.has(each));
  const same = before.image === after.image && !gone.length && !added.length;
  return (
    <section aria-label="What changes" role="status">
      {same ? <p>Nothing changes.</p> : <p>All tasks are replaced, a batch at a time, as the service's update policy says.</p>}
      <ul>
        {before.image !== after.image && <li><Text of={`${before.image ?? ""} → ${after.image ?? ""}`} /></li>}
        {gone.map((each) => <li key={each}>− <Text of={each} /></li>)}
        {added.map((each) => <li key={each}>+ <Text of={each} /></li>)}
      </ul>
      <Moves moves={moves} />
      {warnings.map((each) => <p key={each} class="quiet"><Text of={each} /></p>)}
    </section>
  );
}

function commandLine(name: string, before: Container, image: string, lines: string[]): string {
  const old = new Set(before.env ?? []), fresh = new Set(lines), key = (line: string): string => line.split("=", 1)[0]!;
  const kept = new Set(lines.map(key));
  const words = ["shoal service update"];
  if (image !== before.image) words.push("--image", shellWord(image));
  for (const each of fresh) if (!old.has(each)) words.push("--env-add", shellWord(each));
  for (const each of old) if (!kept.has(key(each))) words.push("--env-rm", shellWord(key(each)));
  return [...words, shellWord(name)].join(" ");
}
