// A secret or a config: its versions, who uses it, and new content. A config's content is shown, a secret's never.

import { useCallback, useEffect, useState } from "preact/hooks";
import { get, part, post, textOf } from "../api";
import { Action, CommandLine, ConfirmByName, Dialog, Text } from "../parts/basics";
import { base64Of, ChooseFile } from "../parts/file-content";
import { Facts, labelList, namesAsLinks, TasksOf } from "../parts/users";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { Link, navigate } from "../router";
import { ageText, memoryText, shellWord } from "../text";

const AGAIN_MS = 3000;

interface Version {
  version?: string;
  size_bytes?: number;
  created_at_ms?: string;
  services?: string[];
}

interface View {
  meta?: { id?: string; created_at_ms?: string; updated_at_ms?: string };
  spec?: { name?: string; labels?: Record<string, string>; stack?: string; template?: boolean };
  version?: string;
  versions?: Version[];
  services?: string[];
  volumes?: string[];
  /** Of a config: null where it is no text. Of a secret there is none. */
  content?: string | null;
  /** The beginning of what is no text, in hexadecimal digits. */
  head?: string;
  /** Bytes of the content. */
  size?: number;
}

export type FileKind = "secrets" | "configs";

export function FilePage({ kind, name }: { kind: FileKind; name: string }) {
  const one = kind.slice(0, -1), title = kind === "secrets" ? "Secret" : "Config";
  const [view, setView] = useState<View | null>(null), [problem, setProblem] = useState("");
  const [asking, setAsking] = useState<"update" | "remove" | null>(null), [updated, setUpdated] = useState<string[] | null>(null);
  const load = useCallback(async (): Promise<void> => {
    try {
      setView(await get<View>(`/api/${kind}/${part(name)}`));
      setProblem("");
    } catch (error) {
      setProblem(textOf(error));
    }
  }, [kind, name]);
  useEffect(() => {
    void load();
    const timer = setInterval(() => document.hidden || void load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [load]);
  if (!view) return <><h1>{title} <Text of={name} /></h1>{problem ? <p role="alert" class="problem"><Text of={problem} /></p> : <p>Loading…</p>}</>;
  const spec = view.spec ?? {}, own = spec.name ?? name, services = view.services ?? [];
  return (
    <>
      <div class="title">
        <h1>{title} <Text of={own} /></h1>
        <div class="buttons">
          <button type="button" onClick={() => setAsking("update")}>Update…</button>
          <button type="button" class="dangerous" onClick={() => setAsking("remove")}>Remove…</button>
        </div>
      </div>
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      {updated && <p role="status">Updated. {updated.length ? <>Services that get the new version: {namesAsLinks(updated, "services")}</> : "No service follows it."}</p>}
      <Facts facts={[
        ["Labels", labelList(spec.labels)],
        ["Stack", spec.stack && <Link to={`/stacks/${part(spec.stack)}`}><Text of={spec.stack} /></Link>],
        ["Template", spec.template && "its placeholders are filled in for each task"],
        ["Created", `${ageText(Number(view.meta?.created_at_ms ?? 0))} ago`],
        ["Changed", `${ageText(Number(view.meta?.updated_at_ms ?? 0))} ago`],
        ["Services", services.length ? namesAsLinks(services, "services") : "none"],
        ["Volumes", !!view.volumes?.length && namesAsLinks(view.volumes, "volumes")],
        ["ID", <code>{view.meta?.id ?? ""}</code>],
      ]} />
      {kind === "configs" && <Content view={view} name={own} />}
      <h2>Versions</h2>
      <VirtualTable label="Versions" rows={view.versions ?? []} columns={columnsOf(view.version ?? "")} keyOf={(each) => each.version ?? ""} empty="" />
      <h2>Tasks of its services</h2>
      <TasksOf services={services} />
      <CommandLine line={`shoal ${one} inspect ${shellWord(own)}`} />
      {asking === "update" && <Update kind={kind} view={view} name={own} done={(found) => (setUpdated(found), void load())} close={() => setAsking(null)} />}
      {asking === "remove" && (
        <ConfirmByName title={`Remove ${one}`} name={own} close={() => setAsking(null)} line={`shoal ${one} rm ${shellWord(own)}`} consequence="It cannot be brought back."
          do={() => post(`/api/${kind}/${part(view.meta?.id ?? "")}/remove`, { name: own }).then(() => navigate(`/${kind}`))} />
      )}
    </>
  );
}

const columnsOf = (newest: string): Column<Version>[] => [
  { title: "Digest", width: "3fr", cell: (each) => <code>{each.version}</code> },
  { title: "Newest", width: "5rem", cell: (each) => (each.version === newest ? "newest" : "") },
  { title: "Size", width: "6rem", cell: (each) => memoryText(each.size_bytes ?? 0) },
  { title: "Age", width: "5rem", cell: (each) => ageText(Number(each.created_at_ms ?? 0)) },
  { title: "Services", width: "2fr", cell: (each) => namesAsLinks(each.services ?? [], "services") },
];

/** Sixteen bytes a line, as `hexdump -C` has them. */
const dumpOf = (digits: string): string =>
  (digits.match(/.{1,32}/g) ?? []).map((line, at) => {
    const bytes = line.match(/../g) ?? [];
    const shown = bytes.map((each) => parseInt(each, 16)).map((each) => (each > 0x1f && each < 0x7f ? String.fromCharCode(each) : ".")).join("");
    return `${(at * 16).toString(16).padStart(8, "0")}  ${bytes.join(" ").padEnd(48)} |${shown}|`;
  }).join("\n");

function Content({ view, name }: { view: View; name: string }) {
  const text = view.content ?? null, digits = view.head ?? "", size = view.size ?? 0;
  return (
    <>
      <div class="title">
        <h2>Content</h2>
        {size > 0 && <a class="button" href={`/api/configs/${part(name)}/content`} download>Download</a>}
      </div>
      {text === null
        ? <><p class="quiet">It is no text: {memoryText(size)}{digits.length < size * 2 && `, of which these are the first ${digits.length / 2} bytes`}.</p><pre class="content" tabIndex={0} role="region" aria-label="Content">{dumpOf(digits)}</pre></>
        : text ? <pre class="content" tabIndex={0} role="region" aria-label="Content"><Text of={text} /></pre> : <p class="quiet">It is empty.</p>}
    </>
  );
}

const linesOf = (labels: Record<string, string>): string => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join("\n");

function labelsOf(lines: string): Record<string, string> {
  return Object.fromEntries(lines.split("\n").filter((each) => each.trim()).map((each) => [each.split("=", 1)[0]!.trim(), each.includes("=") ? each.slice(each.indexOf("=") + 1) : ""]));
}

/** New content and other labels. A secret's field is empty at first: what it has now is nowhere to be read. */
function Update({ kind, view, name, done, close }: { kind: FileKind; view: View; name: string; done: (services: string[]) => void; close: () => void }) {
  const one = kind.slice(0, -1), old = view.spec?.labels ?? {};
  // Fields of forms have lines that end in LF; what had CRLF keeps it.
  const [before] = useState(view.content ?? ""), crlf = before.includes("\r\n"), shown = before.replaceAll("\r\n", "\n");
  const [content, setContent] = useState(shown), [lines, setLines] = useState(linesOf(old));
  const [file, setFile] = useState<File | null>(null);
  const labels = labelsOf(lines), added = Object.entries(labels).filter(([key, value]) => old[key] !== value), removed = Object.keys(old).filter((key) => !(key in labels));
  const fresh = content !== shown || !!file;
  const line = [
    "shoal", one, "update", ...added.map(([key, value]) => `--label-add ${shellWord(`${key}=${value}`)}`), ...removed.map((key) => `--label-rm ${shellWord(key)}`), shellWord(name), fresh && shellWord(file?.name ?? "FILE"),
  ].filter(Boolean).join(" ");
  const update = async (): Promise<void> => {
    const changes: Record<string, unknown> = { labels_add: Object.fromEntries(added), labels_remove: removed };
    if (file) changes.content_base64 = await base64Of(file);
    else if (fresh) changes.content = crlf ? content.replaceAll("\n", "\r\n") : content;
    done((await post<{ services: string[] }>(`/api/${kind}/${part(view.meta?.id ?? "")}/update`, changes)).services);
    close();
  };
  return (
    <Dialog title={`Update ${one}`} close={close}>
      <label>
        {kind === "secrets" || view.content === null ? "New content" : "Content"}
        <textarea rows={10} value={content} disabled={!!file} spellcheck={false} autocomplete="off" onInput={(event) => setContent(event.currentTarget.value)} />
      </label>
      <ChooseFile choose={setFile} />
      <label>Labels, a NAME=VALUE a line <textarea rows={3} value={lines} spellcheck={false} onInput={(event) => setLines(event.currentTarget.value)} /></label>
      <p class="quiet">New content is a new version: services that follow it are updated to it, those that pin a version are not.</p>
      <CommandLine line={line} />
      <div class="buttons">
        <Action class="main" do={update} disabled={!fresh && !added.length && !removed.length}>Update</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}
