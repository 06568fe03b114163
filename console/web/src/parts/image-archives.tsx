// Images as files: the images of an archive into the cluster, and a container's files as an image.

import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, part, post, textOf, upload } from "../api";
import { Link, navigate } from "../router";
import { memoryText, shellWord, visible } from "../text";
import { Action, CommandLine, Dialog, Text } from "./basics";
import { documentOf, Fields, flagsOf, OtherFaults, type Fault, type Field, type Values } from "./form";

interface Loaded {
  name: string;
  digest: string;
}

/** Uploads an archive; its images are listed when all of them are in the cluster. */
export function LoadDialog({ done, close }: { done: () => void; close: () => void }) {
  const [file, setFile] = useState<File | null>(null), [bytes, setBytes] = useState(-1);
  const [loaded, setLoaded] = useState<readonly Loaded[] | null>(null), [problem, setProblem] = useState("");
  const cancel = useRef<() => void>(() => undefined);
  useEffect(() => () => cancel.current(), []);
  const load = async (chosen: File): Promise<void> => {
    setBytes(0);
    setProblem("");
    const sending = upload("/api/images/archive", chosen, setBytes);
    cancel.current = sending.cancel;
    try {
      setLoaded(((await sending.done) as { images: Loaded[] }).images);
      done();
    } catch (error) {
      setProblem(textOf(error));
    } finally {
      setBytes(-1);
    }
  };
  return (
    <Dialog title="Load images" close={close}>
      <p class="quiet">From an archive of <code>docker save</code> or <code>shoal save</code>, or an OCI layout; it may be compressed.</p>
      <label>Archive <input type="file" accept=".tar,.gz,.tgz,.zst,.bz2,.xz" onChange={(event) => (setFile(event.currentTarget.files?.[0] ?? null), setLoaded(null))} /></label>
      <CommandLine line={`shoal load --input ${shellWord(file?.name ?? "FILE")}`} />
      {file && bytes >= 0 && (
        <p role="status">
          <progress max={file.size || 1} value={bytes} aria-label={visible(`Upload of ${file.name}`)} />{" "}
          <span class="quiet">{bytes < file.size ? `${memoryText(bytes)} of ${memoryText(file.size)}` : "The cluster's repository gets it…"}</span>
        </p>
      )}
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      {loaded && (
        <ul aria-label="Loaded images" class="plain">
          {loaded.map((each) => <li key={each.name + each.digest}>Loaded: <Link to={`/images/${part(each.name || each.digest)}`}><Text of={each.name || each.digest.slice(0, 19)} /></Link></li>)}
        </ul>
      )}
      <div class="buttons">
        <button type="button" class="main" disabled={!file || bytes >= 0 || !!loaded} onClick={() => file && void load(file)}>Load</button>
        <button type="button" onClick={close}>{loaded ? "Close" : "Cancel"}</button>
      </div>
    </Dialog>
  );
}

const COMMIT: readonly Field[] = [
  { key: "name", label: "Name of the image", hint: "team/web:2; empty: the image has its digest alone" },
  { key: "message", label: "Message", flag: "--message" },
  { key: "author", label: "Author", flag: "--author" },
  { key: "changes", label: "Changes, a Dockerfile instruction a line", kind: "lines", flag: "--change", hint: 'CMD ["nginx"]' },
  { key: "running", label: "Do not pause it meanwhile", kind: "switch", flag: "--no-pause" },
];

/** A container's changes as an image. Volumes are no part of it. */
export function CommitDialog({ container, id, close }: { container: string; id: string; close: () => void }) {
  const [values, setValues] = useState<Values>({}), [faults, setFaults] = useState<readonly Fault[]>([]);
  const commit = async (): Promise<void> => {
    const { running, ...document } = documentOf(COMMIT, values);
    try {
      const made = await post<Loaded>(`/api/containers/${part(id)}/commit`, { ...document, pause: !running });
      navigate(`/images/${part(made.name || made.digest)}`);
    } catch (error) {
      if (!(error instanceof ApiError) || !error.faults.length) throw error;
      setFaults(error.faults);
    }
  };
  const line = ["shoal commit", ...flagsOf(COMMIT, values), shellWord(container), values.name && shellWord(String(values.name))].filter(Boolean).join(" ");
  return (
    <Dialog title="Make an image of its files" close={close}>
      <p class="quiet">Volumes are no part of it.</p>
      <Fields fields={COMMIT} values={values} faults={faults} set={(key, value) => (setValues((before) => ({ ...before, [key]: value })), setFaults([]))} />
      <OtherFaults fields={COMMIT} faults={faults} />
      <CommandLine line={line} />
      <div class="buttons">
        <Action class="main" do={commit}>Commit</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}
