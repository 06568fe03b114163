// A container's directories; files out of it, and into it by a button or by dropping them.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, part, textOf, upload } from "../api";
import { Link, useAddress } from "../router";
import { ageText, count, memoryText, numberText, shellWord, visible } from "../text";
import { CommandLine, Text } from "./basics";
import { VirtualTable, type Column } from "./virtual-list";

const MAX_FILES = 1000, AT_ONCE = 2;
const TYPE = 0o170000, DIRECTORY = 0o040000, LINK = 0o120000, REGULAR = 0o100000;

interface Entry {
  name: string;
  size: number;
  mode: number;
  modified: number;
  link: string;
}

interface Listing {
  entries: Entry[];
  complete: boolean;
}

interface Transfer {
  number: number;
  name: string;
  size: number;
  bytes: number;
  state: "waiting" | "sending" | "done" | "failed";
  problem: string;
  cancel: () => void;
}

const kindOf = (each: Entry): number => each.mode & TYPE;
const below = (path: string, name: string): string => `${path === "/" ? "" : path}/${name}`;

/** "drwxr-xr-x". */
function modeText({ mode }: Entry): string {
  const type = { [DIRECTORY]: "d", [LINK]: "l", [REGULAR]: "-" }[mode & TYPE] ?? "?";
  return type + [6, 3, 0].map((shift) => ["r", "w", "x"].map((letter, at) => ((mode >> shift) & (4 >> at) ? letter : "-")).join("")).join("");
}

/**
 * @param container name or id, as commands take it
 * @param address of the page, to which the path is added
 */
export function Files({ container, address }: { container: string; address: string }) {
  const path = useAddress().query.get("path") || "/";
  const [listing, setListing] = useState<Listing | null>(null), [problem, setProblem] = useState("");
  const load = useCallback(async (): Promise<void> => {
    try {
      setListing(await get<Listing>(`/api/files?container=${part(container)}&path=${part(path)}`));
      setProblem("");
    } catch (error) {
      setListing(null);
      setProblem(textOf(error));
    }
  }, [container, path]);
  useEffect(() => void load(), [load]);
  const { transfers, left, send } = useTransfers(container, path, () => void load());
  const [over, setOver] = useState(false);
  const drop = async (event: DragEvent): Promise<void> => {
    event.preventDefault();
    setOver(false);
    send(await droppedFiles(event.dataTransfer));
  };
  const choose = (event: { currentTarget: HTMLInputElement }): void => {
    send(listed(event.currentTarget.files));
    event.currentTarget.value = "";
  };
  const to = (inner: string): string => `${address}?tab=files&path=${part(inner)}`;
  const content = (inner: string, tar = false): string => `/api/files/content?container=${part(container)}&path=${part(inner)}${tar ? "&tar=1" : ""}`;
  const rows = [...(listing?.entries ?? [])].sort((a, b) => Number(kindOf(b) === DIRECTORY) - Number(kindOf(a) === DIRECTORY) || (a.name < b.name ? -1 : 1));
  const columns: Column<Entry>[] = [
    {
      title: "Name", width: "3fr",
      cell: (each) => {
        if (each.name.includes("\ufffd")) return <Text of={each.name} />;
        const name = <Text of={each.name + (kindOf(each) === DIRECTORY ? "/" : "")} />;
        return kindOf(each) === DIRECTORY || each.link
          ? <><Link to={to(below(path, each.name))}>{name}</Link>{each.link && <span class="quiet"> → <Text of={each.link} /></span>}</>
          : name;
      },
    },
    { title: "Size", width: "6rem", cell: (each) => (kindOf(each) === REGULAR ? memoryText(each.size) : "") },
    { title: "Mode", width: "7rem", cell: (each) => <code>{modeText(each)}</code> },
    { title: "Changed", width: "6rem", cell: (each) => ageText(each.modified) },
    {
      title: "Download", width: "8rem",
      cell: (each) => !each.name.includes("\ufffd") && (
        <span class="buttons">
          {kindOf(each) !== DIRECTORY && <a href={content(below(path, each.name))} download aria-label={visible(`Download ${each.name}`)}>File</a>}
          <a href={content(below(path, each.name), true)} download aria-label={visible(`Download ${each.name} as tar`)}>tar</a>
        </span>
      ),
    },
  ];
  return (
    <section aria-label="Files" class={over ? "drop over" : "drop"} onDrop={drop} onDragLeave={() => setOver(false)}
      onDragOver={(event) => (event.preventDefault(), setOver(true))}>
      <div class="filters">
        <Crumbs path={path} to={to} />
        <label class="button">
          Upload files… <input type="file" multiple class="unseen" onChange={choose} />
        </label>
        <label class="button">
          Upload a directory… <input type="file" {...{ webkitdirectory: true }} class="unseen" onChange={choose} />
        </label>
        <a class="button" href={content(path, true)} download>Download as tar</a>
        <span class="quiet" role="status">{listing ? count(rows.length, "entry", "entries") : problem ? "" : "Loading…"}{listing && !listing.complete && ", the first that were found; there are more"}</span>
      </div>
      {problem && (
        <p role="alert" class="problem">
          <Text of={problem} />
          {problem.includes("not a directory") && <> <a href={content(path)} download>Download it</a></>}
        </p>
      )}
      {left > 0 && <p role="alert" class="problem">{count(left, "file was", "files were")} left out: at most {numberText(MAX_FILES)} are uploaded at once.</p>}
      <Transfers transfers={transfers} />
      <VirtualTable label="Files" rows={rows} columns={columns} keyOf={(each) => each.name} empty={listing ? "It is empty. Drop files here." : ""} />
      <CommandLine line={`shoal cp ${shellWord(`${container}:${path}`)} .`} />
      <CommandLine line={`shoal cp FILE ${shellWord(`${container}:${path}`)}`} />
    </section>
  );
}

function Crumbs({ path, to }: { path: string; to: (inner: string) => string }) {
  const parts = path.split("/").filter(Boolean);
  return (
    <nav aria-label="Path" class="crumbs">
      <Link to={to("/")} current={!parts.length} label="Root directory">/</Link>
      {parts.map((each, at) => (
        <span key={at}><Link to={to(`/${parts.slice(0, at + 1).join("/")}`)} current={at === parts.length - 1}><Text of={each} /></Link>{at < parts.length - 1 && "/"}</span>
      ))}
    </nav>
  );
}

function Transfers({ transfers }: { transfers: readonly Transfer[] }) {
  if (!transfers.length) return null;
  return (
    <ul class="transfers" aria-label="Uploads">
      {transfers.map((each) => (
        <li key={each.number}>
          <Text of={each.name} />
          <progress max={each.size || 1} value={each.state === "done" ? each.size || 1 : each.bytes} aria-label={visible(`Upload of ${each.name}`)} />
          <span class={each.state === "failed" ? "problem" : "quiet"} role="status">
            <Text of={each.problem || (each.state === "done" ? "done" : `${memoryText(each.bytes)} of ${memoryText(each.size)}`)} />
          </span>
          {(each.state === "waiting" || each.state === "sending") && <button type="button" aria-label={visible(`Cancel ${each.name}`)} onClick={each.cancel}>Cancel</button>}
        </li>
      ))}
    </ul>
  );
}

interface Named {
  name: string;
  file: File;
}

const listed = (files: FileList | null): Named[] => [...(files ?? [])].map((file) => ({ name: file.webkitRelativePath || file.name, file }));

/** Files into a directory, some at once; `changed` is called after each. */
function useTransfers(container: string, path: string, changed: () => void) {
  const all = useRef<Transfer[]>([]), waiting = useRef<(() => Promise<void>)[]>([]), running = useRef(0), number = useRef(0);
  const [, draw] = useState(0), [left, setLeft] = useState(0);
  const update = (each: Transfer, fresh: Partial<Transfer>): void => {
    Object.assign(each, fresh);
    draw((before) => before + 1);
  };
  const next = (): void => {
    const work = running.current < AT_ONCE ? waiting.current.shift() : undefined;
    if (!work) return;
    running.current++;
    void work().finally(() => {
      running.current--;
      next();
    });
  };
  const begin = ({ name, file }: Named): void => {
    const each: Transfer = { number: number.current++, name, size: file.size, bytes: 0, state: "waiting", problem: "", cancel: () => update(each, { state: "failed", problem: "cancelled" }) };
    all.current = [...all.current.filter((other) => other.state !== "done"), each];
    waiting.current.push(async () => {
      if (each.state === "failed") return;
      const query = `container=${part(container)}&path=${part(path)}&name=${part(name)}`;
      const { done, cancel } = upload(`/api/files/content?${query}`, file, (bytes) => update(each, { bytes }));
      update(each, { state: "sending", cancel });
      await done.then(() => update(each, { state: "done" }), (error: unknown) => update(each, { state: "failed", problem: textOf(error) }));
      changed();
    });
    next();
  };
  const send = (files: Named[]): void => {
    files.slice(0, MAX_FILES).forEach(begin);
    setLeft(Math.max(0, files.length - MAX_FILES));
    draw((before) => before + 1);
  };
  return { transfers: all.current, left, send };
}

/** What was dropped, with the files below directories. */
async function droppedFiles(dropped: DataTransfer | null): Promise<Named[]> {
  const entries = [...(dropped?.items ?? [])].map((each) => each.webkitGetAsEntry()).filter((each) => each !== null);
  if (!entries.length) return listed(dropped?.files ?? null);
  const found: Named[] = [];
  for (const each of entries) await collect(each, "", found);
  return found;
}

async function collect(entry: FileSystemEntry, prefix: string, found: Named[]): Promise<void> {
  if (found.length > MAX_FILES) return; // one more, so that it is seen that some are left out
  const name = prefix + entry.name;
  if (entry.isFile) {
    found.push({ name, file: await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)) });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await collect(each, `${name}/`, found);
  }
}
