// A container of one's own by a form: what `shoal run` does.

import { useEffect, useState } from "preact/hooks";
import { ApiError, get, part, post } from "../api";
import { useStore } from "../feed/use-store";
import { Action, CommandLine, Text } from "../parts/basics";
import { documentOf, Fields, flagsOf, OtherFaults, type Fault, type Field, type Values } from "../parts/form";
import { ImageCopyProgress, type ImageCopy } from "../parts/image-copy";
import { navigate, useAddress } from "../router";
import { shellWord } from "../text";

const RESTARTS = ["no", "on-failure", "always", "unless-stopped"] as const;

const basic = (images: readonly string[]): Field[] => [
  { key: "image", label: "Image", hint: "Pulled into the cluster if it is not there", offers: images },
  { key: "name", label: "Name", flag: "--name", hint: "Chosen if empty" },
  { key: "command", label: "Command", hint: "The image's if empty; words as in a shell" },
  { key: "ports", label: "Ports, one a line", kind: "lines", flag: "--publish", hint: "8080:80, or 8080:80/udp; every node answers" },
  { key: "volumes", label: "Volumes, one a line", kind: "lines", flag: "--volume", hint: "data:/var/lib/data, or data:/data:ro" },
  { key: "env", label: "Environment, one a line", kind: "lines", flag: "--env", hint: "NAME=value" },
  { key: "networks", label: "Networks, one a line", kind: "lines", flag: "--network", hint: "The node's own if empty" },
  { key: "restart", label: "Restart policy", kind: RESTARTS, flag: "--restart" },
  { key: "cpus", label: "Limit of CPUs", flag: "--cpus", hint: "1.5" },
  { key: "memory", label: "Limit of memory", flag: "--memory", hint: "512M" },
];
const advanced = (nodes: readonly string[]): Field[] => [
  { key: "entrypoint", label: "Entrypoint", flag: "--entrypoint" },
  { key: "user", label: "User", flag: "--user", hint: "Name or number, with a group after a colon" },
  { key: "workdir", label: "Working directory", flag: "--workdir" },
  { key: "hostname", label: "Host name", flag: "--hostname" },
  { key: "labels", label: "Labels, one a line", kind: "lines", flag: "--label", hint: "NAME=value" },
  { key: "node", label: "Node", flag: "--node", hint: "Chosen if empty", offers: nodes },
  { key: "pids", label: "Limit of processes", flag: "--pids-limit" },
  { key: "terminal", label: "Keep a terminal open, as a shell needs it", kind: "switch", flag: "--tty --interactive" },
  { key: "init", label: "An init process that reaps others", kind: "switch", flag: "--init" },
  { key: "read_only", label: "Files are read-only", kind: "switch", flag: "--read-only" },
  { key: "remove", label: "Remove it when it has ended", kind: "switch", flag: "--rm" },
];

interface Made {
  name: string;
  problem?: string;
}

export function Run() {
  const store = useStore("nodes"), { query } = useAddress();
  const [values, setValues] = useState<Values>({ restart: "no", image: query.get("image") ?? "" });
  const [faults, setFaults] = useState<readonly Fault[]>([]);
  const [copy, setCopy] = useState<ImageCopy | null>(null);
  const [images, setImages] = useState<string[]>([]);
  useEffect(() => {
    get<{ names: string[] }[]>("/api/images").then((rows) => setImages(rows.flatMap((each) => each.names)), () => undefined);
  }, []);
  const first = basic(images), second = advanced([...store.nodes.values()].map((each) => each.name)), fields = [...first, ...second];
  const document = documentOf(fields, values);
  const set = (key: string, value: string | boolean): void => {
    setValues((before) => ({ ...before, [key]: value }));
    setFaults((before) => before.filter((each) => each.path !== key));
  };
  const submit = async (dryRun: boolean): Promise<Made> => {
    try {
      return await post<Made>("/api/containers", { ...document, dry_run: dryRun });
    } catch (error) {
      if (error instanceof ApiError && error.faults.length) {
        setFaults(error.faults);
        throw new Error("see the fields above");
      }
      throw error;
    }
  };
  const create = async (): Promise<void> => {
    const made = await submit(false);
    navigate(`/containers/${part(made.name)}${made.problem ? `?problem=${part(made.problem)}` : ""}`);
  };
  const run = async (): Promise<void> => {
    setFaults([]);
    await submit(true);
    const name = String(values.image), found = await get<{ found: boolean; pulls?: boolean }>(`/api/image?image=${part(name)}`);
    if (found.found || !found.pulls) return create();
    setCopy({ verb: "pull", name });
  };
  const line = ["shoal run -d", ...flagsOf(fields, values), shellWord(String(values.image || "IMAGE")), values.command].filter(Boolean).join(" ");
  return (
    <>
      <h1>Run a container</h1>
      <Fields fields={first} values={values} faults={faults} set={set} />
      <details open={faults.some((fault) => second.some((field) => field.key === fault.path)) || undefined}>
        <summary>Advanced</summary>
        <Fields fields={second} values={values} faults={faults} set={set} />
      </details>
      <OtherFaults fields={fields} faults={faults} />
      {copy && <Pulled copy={copy} create={create} close={() => setCopy(null)} />}
      <CommandLine line={line} />
      <div class="buttons"><Action class="main" do={run} disabled={!values.image || !!copy}>Run</Action></div>
    </>
  );
}

/** The pull before the container, which is created when it has ended. */
function Pulled({ copy, create, close }: { copy: ImageCopy; create: () => Promise<void>; close: () => void }) {
  const [problem, setProblem] = useState("");
  return (
    <>
      <ImageCopyProgress copy={copy} close={close} done={() => void create().catch((error: unknown) => setProblem(String(error)))} />
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
    </>
  );
}
