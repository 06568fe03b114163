// An image of the cluster: its names, what it was made of, who uses it; and new ones from registries.

import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { get, part, post, textOf } from "../api";
import { useStore } from "../feed/use-store";
import { Action, CommandLine, ConfirmByName, Dialog, Text } from "../parts/basics";
import { ImageCopyProgress, type Copied, type ImageCopy } from "../parts/image-copy";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { Link, navigate } from "../router";
import { ageText, memoryText, shellWord, visible } from "../text";

interface Step {
  created: string;
  by: string;
  size: number;
  comment: string;
}

interface Inspected {
  Id: string;
  RepoTags: string[];
  Created: string;
  Author: string;
  Config: { Env?: string[]; Cmd?: string[]; Entrypoint?: string[]; User?: string; WorkingDir?: string; ExposedPorts?: Record<string, unknown>; Labels?: Record<string, string>; Volumes?: Record<string, unknown> };
  Size: number;
  Descriptor: { digest: string };
  Platforms: string[];
  Source: string;
  Nodes: string[];
  Services: string[];
  Containers: string[];
}

interface Found {
  found: boolean;
  image?: Inspected;
  history?: Step[];
  layers?: { digest: string; size: number }[];
}

export function ImagePage({ name }: { name: string }) {
  const store = useStore("services", "nodes");
  const [view, setView] = useState<Found | null>(null), [problem, setProblem] = useState("");
  const [asking, setAsking] = useState<"tag" | "push" | "pull" | null>(null), [removing, setRemoving] = useState("");
  const load = useCallback(async (): Promise<void> => {
    try {
      setView(await get<Found>(`/api/image?image=${part(name)}`));
      setProblem("");
    } catch (error) {
      setProblem(textOf(error));
    }
  }, [name]);
  useEffect(() => void load(), [load]);
  const image = view?.image;
  if (!image) {
    return (
      <>
        <div class="title"><h1>Image <Text of={name} /></h1><button type="button" onClick={() => setAsking("pull")}>Pull…</button></div>
        {problem ? <p role="alert" class="problem"><Text of={problem} /></p> : <p>{view ? "The cluster has no image of this name." : "Loading…"}</p>}
        {asking === "pull" && <PullDialog name={name} done={() => void load()} close={() => setAsking(null)} />}
      </>
    );
  }
  const config = image.Config, names = image.RepoTags.length ? image.RepoTags : [image.Descriptor.digest];
  const gone = (): Promise<void> => (names.length > 1 && removing !== name ? load() : Promise.resolve(navigate("/images")));
  const facts: readonly (readonly [string, ComponentChildren])[] = [
    ["Digest", <code>{image.Descriptor.digest}</code>],
    ["Pulled from", image.Source && <Text of={image.Source} />],
    ["Created", Date.parse(image.Created) > 0 && `${ageText(Date.parse(image.Created))} ago`],
    ["Size", memoryText(image.Size)],
    ["Platforms", image.Platforms.join(", ")],
    ["Entrypoint", words(config.Entrypoint)],
    ["Command", words(config.Cmd)],
    ["User", config.User && <Text of={config.User} />],
    ["Working directory", config.WorkingDir && <code><Text of={config.WorkingDir} /></code>],
    ["Ports", lines(Object.keys(config.ExposedPorts ?? {}))],
    ["Volumes", lines(Object.keys(config.Volumes ?? {}))],
    ["Environment", lines(config.Env ?? [])],
    ["Labels", lines(Object.entries(config.Labels ?? {}).map(([key, value]) => `${key}=${value}`))],
    ["Services", !!image.Services.length && links(image.Services.map((id) => store.services.get(id)?.name ?? id), "services")],
    ["Containers", !!image.Containers.length && links(image.Containers.map((id) => store.containers.get(id)?.name ?? id), "containers")],
    ["Nodes that have it", !!image.Nodes.length && links(image.Nodes.map((id) => store.nodes.get(id)?.name ?? id), "nodes")],
  ];
  return (
    <>
      <div class="title">
        <h1><Text of={names.includes(name) ? name : names[0] ?? name} /></h1>
        <div class="buttons">
          <Link class="button" to={`/run?image=${part(names[0] ?? name)}`}>Run…</Link>
          <Link class="button" to={`/create-service?image=${part(names[0] ?? name)}`}>Create a service…</Link>
          <button type="button" onClick={() => setAsking("tag")}>Tag…</button>
          <a class="button" href={`/api/image/archive?image=${part(names[0] ?? name)}`} download>Download as tar</a>
          {!!image.RepoTags.length && <button type="button" onClick={() => setAsking("push")}>Push…</button>}
          <button type="button" onClick={() => setAsking("pull")}>Pull…</button>
        </div>
      </div>
      <section aria-label="Names">
        <ul class="names">
          {names.map((each) => (
            <li key={each}><code><Text of={each} /></code> <button type="button" class="dangerous" aria-label={visible(`Remove ${each}`)} onClick={() => setRemoving(each)}>Remove…</button></li>
          ))}
        </ul>
      </section>
      <dl class="facts">{facts.filter(([, value]) => value).map(([title, value]) => <><dt>{title}</dt><dd>{value}</dd></>)}</dl>
      <h2>History</h2>
      <VirtualTable label="History" rows={(view?.history ?? []).map((step, at) => ({ ...step, at: String(at) }))} columns={STEPS} keyOf={(each) => each.at} empty="It is not known." />
      <CommandLine line={`shoal history ${shellWord(names[0] ?? name)}`} />
      <CommandLine line={`shoal save --output image.tar ${shellWord(names[0] ?? name)}`} />
      {asking === "tag" && <TagDialog image={image.Descriptor.digest} from={names[0] ?? name} done={() => void load()} close={() => setAsking(null)} />}
      {asking === "push" && <CopyDialog verb="push" names={names} done={() => undefined} close={() => setAsking(null)} />}
      {asking === "pull" && <PullDialog name={names[0] ?? name} done={() => void load()} close={() => setAsking(null)} />}
      {removing && (
        <ConfirmByName title="Remove image" name={removing} close={() => setRemoving("")} line={`shoal rmi ${shellWord(removing)}`}
          consequence={names.length > 1 ? "The name is removed; the image stays under its other names." : "It is the last name: the image is removed with it."}
          do={() => post("/api/image/remove", { image: removing, name: removing }).then(gone)} />
      )}
    </>
  );
}

const words = (texts?: string[]): ComponentChildren => !!texts?.length && <code><Text of={texts.map(shellWord).join(" ")} /></code>;
const lines = (texts: string[]): ComponentChildren => !!texts.length && <ul class="plain">{texts.map((each) => <li key={each}><code><Text of={each} /></code></li>)}</ul>;
const links = (names: string[], kind: string): ComponentChildren =>
  names.map((each) => <span key={each} class="word"><Link to={`/${kind}/${part(each)}`}><Text of={each} /></Link></span>);

const STEPS: Column<Step & { at: string }>[] = [
  { title: "Made by", width: "6fr", cell: (each) => <code title={visible(each.by)}><Text of={each.by} /></code> },
  { title: "Size", width: "6rem", cell: (each) => (each.size ? memoryText(each.size) : "") },
  { title: "Age", width: "6rem", cell: (each) => (each.created ? ageText(Date.parse(each.created)) : "") },
  { title: "Comment", width: "2fr", cell: (each) => <Text of={each.comment} /> },
];

function TagDialog({ image, from, done, close }: { image: string; from: string; done: () => void; close: () => void }) {
  const [name, setName] = useState("");
  const tag = async (): Promise<void> => {
    await post("/api/image/tag", { image, name });
    done();
    close();
  };
  return (
    <Dialog title="Add a name" close={close}>
      <label>New name <input value={name} placeholder="registry.example.org/team/web:1" autocomplete="off" spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} /></label>
      <CommandLine line={`shoal tag ${shellWord(from)} ${shellWord(name || "NAME")}`} />
      <div class="buttons">
        <Action class="main" do={tag} disabled={!name}>Add</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}

export function PullDialog({ name = "", done, close }: { name?: string; done: (copied: Copied) => void; close: () => void }) {
  return <CopyDialog verb="pull" names={name ? [name] : []} done={done} close={close} />;
}

function CopyDialog({ verb, names, done, close }: { verb: "pull" | "push"; names: string[]; done: (copied: Copied) => void; close: () => void }) {
  const [name, setName] = useState(names[0] ?? ""), [platform, setPlatform] = useState("");
  const [username, setUsername] = useState(""), [password, setPassword] = useState("");
  const [copy, setCopy] = useState<ImageCopy | null>(null), [copied, setCopied] = useState<Copied | null>(null);
  const title = verb === "pull" ? "Pull an image" : "Push an image";
  const begin = (): void => {
    setCopied(null);
    setCopy({ verb, name, platform, username, password });
  };
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={(event) => (event.preventDefault(), name && begin())}>
        {verb === "push"
          ? <label>Name <select value={name} onChange={(event) => setName(event.currentTarget.value)}>{names.map((each) => <option key={each} value={each}>{visible(each)}</option>)}</select></label>
          : <label>Name <input value={name} placeholder="nginx:1.27" autocomplete="off" spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} /></label>}
        <details>
          <summary>{verb === "pull" ? "Platform and login" : "Login"}</summary>
          {verb === "pull" && <label>Platform <input value={platform} placeholder="All of them" autocomplete="off" onInput={(event) => setPlatform(event.currentTarget.value)} /></label>}
          <p class="quiet">For a registry that the console&apos;s own settings have no login for. Used this once, and kept nowhere.</p>
          <label>User name <input value={username} autocomplete="off" onInput={(event) => setUsername(event.currentTarget.value)} /></label>
          <label>Password <input type="password" value={password} autocomplete="off" onInput={(event) => setPassword(event.currentTarget.value)} /></label>
        </details>
        <CommandLine line={["shoal", verb, platform && `--platform ${shellWord(platform)}`, shellWord(name || "NAME")].filter(Boolean).join(" ")} />
        {!copy && <div class="buttons"><button type="submit" class="main" disabled={!name}>{verb === "pull" ? "Pull" : "Push"}</button><button type="button" onClick={close}>Cancel</button></div>}
      </form>
      {copy && <ImageCopyProgress copy={copy} close={() => (copied ? close() : setCopy(null))} done={(found) => (setCopied(found), done(found))} />}
      {copied && (
        <p role="status">
          {verb === "pull" ? "Pulled" : "Pushed"}: <Link to={`/images/${part(copied.name)}`}><Text of={copied.name} /></Link> <code>{copied.digest.slice(0, 19)}</code>
        </p>
      )}
    </Dialog>
  );
}
