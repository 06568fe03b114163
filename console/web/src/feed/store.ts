// What is known of the cluster, with the sums that pages show, kept as changes come. Readers subscribe to topics and are
// told once a frame.

import { isLive, isStopping, taskOf, type Container, type Node, type Service, type Task, type TaskRow } from "./rows";

export interface Changes {
  nodes?: Node[];
  services?: Service[];
  containers?: Container[];
  tasks?: TaskRow[];
  removed?: Partial<Record<"nodes" | "services" | "containers" | "tasks", string[]>>;
}

/** Sums over the live tasks of a node, a service or the cluster. */
export class Sums {
  live = 0;
  running = 0;
  /** Running, or on the way to it on a node. */
  placed = 0;
  cpus = 0;
  memory = 0;

  add(task: Task, sign: 1 | -1): void {
    if (!isLive(task)) return;
    this.live += sign;
    if (task.state === "running" && !isStopping(task)) this.running += sign;
    if (!task.node) return;
    if (!isStopping(task)) this.placed += sign;
    this.cpus += sign * task.cpus;
    this.memory += sign * task.memory;
  }
}

export class Group {
  readonly sums = new Sums();
  readonly tasks = new Map<string, Task>();
}

/** The first snapshot is drawn so often while it arrives: whole, where it arrives sooner. */
const PART_MS = 120;

/** What is wrong with the cluster itself, and since when that and all else may be old, in milliseconds; 0: it is not. */
export interface ClusterWarnings {
  warnings: readonly string[];
  staleSince: number;
}

type Listener = () => void;
type Kind = "nodes" | "services" | "containers" | "tasks";
const KINDS: readonly Kind[] = ["nodes", "services", "containers", "tasks"];

/** What has changed since the frame before. */
export interface FrameChanges {
  /** Ids of nodes of which a task, the node itself or a warning has changed. */
  nodes: ReadonlySet<string>;
  /** Nodes have come, gone or changed themselves. */
  membership: boolean;
}

/** Topics: "nodes", "services", "problems", "connection", "totals", `node:ID`, `service:ID`, "tasks". */
export class Store {
  readonly nodes = new Map<string, Node>();
  readonly services = new Map<string, Service>();
  readonly containers = new Map<string, Container>();
  readonly tasks = new Map<string, Task>();
  readonly totals = new Sums();
  /** Of nodes that are ready, by id: what only a comparison of all nodes shows. */
  warnings: Record<string, string[]> = {};
  /** Of the cluster itself: managers, etcd, backups. */
  clusterWarnings: readonly string[] = [];
  /** Since when the managers that answer are disconnected from etcd; 0: they are not. */
  staleSince = 0;
  problem = "connecting to the console";
  /** A snapshot has arrived whole. */
  complete = false;
  private readonly byNode = new Map<string, Group>();
  private readonly byService = new Map<string, Group>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly frameListeners = new Set<(changed: FrameChanges) => void>();
  private readonly changed = new Set<string>();
  private changedNodes = new Set<string>();
  private readonly changedServices = new Set<string>();
  /** While a snapshot arrives: what it had so far. */
  private arrived: Record<Kind, Set<string>> | null = null;
  private scheduled = false;
  /** Of a picture of a snapshot that is not complete. */
  private partTimer = 0;

  /** Tasks on a node; those without one are at "". */
  onNode(id: string): Group {
    return group(this.byNode, id);
  }

  ofService(id: string): Group {
    return group(this.byService, id);
  }

  /** A snapshot begins; it comes in parts. What was known stays until its last part, and shows meanwhile. */
  beginSnapshot(): void {
    this.arrived = { nodes: new Set(), services: new Set(), containers: new Set(), tasks: new Set() };
  }

  endSnapshot(): void {
    const { arrived } = this;
    this.arrived = null;
    for (const kind of KINDS) {
      for (const id of [...this[kind].keys()]) if (!arrived?.[kind].has(id)) this.remove(kind, id);
    }
    this.complete = true;
    this.flushSoon();
    this.touch("connection", "problems", "nodes", "services", "tasks");
  }

  apply(changes: Changes): void {
    const { arrived } = this;
    for (const each of changes.nodes ?? []) {
      this.nodes.set(each.id, each);
      arrived?.nodes.add(each.id);
      this.changedNodes.add(each.id);
      this.touch("nodes", "problems");
    }
    for (const each of changes.services ?? []) {
      this.services.set(each.id, each);
      arrived?.services.add(each.id);
      this.changedServices.add(each.id);
      this.touch("services", "problems");
    }
    for (const each of changes.containers ?? []) {
      this.containers.set(each.id, each);
      arrived?.containers.add(each.id);
    }
    for (const row of changes.tasks ?? []) {
      this.putTask(taskOf(row));
      arrived?.tasks.add(row[0]);
    }
    for (const kind of KINDS) for (const id of changes.removed?.[kind] ?? []) this.remove(kind, id);
  }

  setWarnings(warnings: Record<string, string[]>): void {
    for (const id of [...Object.keys(this.warnings), ...Object.keys(warnings)]) this.changedNodes.add(id);
    this.warnings = warnings;
    this.touch("problems");
  }

  setClusterWarnings({ warnings, staleSince }: ClusterWarnings): void {
    if (warnings.join("\n") === this.clusterWarnings.join("\n") && staleSince === this.staleSince) return;
    this.clusterWarnings = warnings;
    this.staleSince = staleSince;
    this.touch("problems", "connection");
  }

  /** What is wrong with a node. */
  problemsOf(node: Node): string[] {
    const warnings = this.warnings[node.id];
    return warnings?.length ? [...new Set([...node.problems, ...warnings])] : node.problems;
  }

  setProblem(problem: string): void {
    if (problem === this.problem) return;
    this.problem = problem;
    this.touch("connection");
  }

  /** Have all changes once a frame. */
  onFrame(listener: (changed: FrameChanges) => void): () => void {
    this.frameListeners.add(listener);
    return () => this.frameListeners.delete(listener);
  }

  subscribe(topics: readonly string[], listener: Listener): () => void {
    for (const topic of topics) {
      const found = this.listeners.get(topic) ?? new Set();
      this.listeners.set(topic, found.add(listener));
    }
    return () => {
      for (const topic of topics) {
        const found = this.listeners.get(topic);
        if (found?.delete(listener) && !found.size) this.listeners.delete(topic);
      }
    };
  }

  private putTask(task: Task): void {
    const old = this.tasks.get(task.id);
    if (old && (old.node !== task.node || old.service !== task.service)) this.dropTask(task.id);
    else if (old) this.count(old, -1);
    this.tasks.set(task.id, task);
    this.count(task, 1);
    this.onNode(task.node).tasks.set(task.id, task);
    this.ofService(task.service).tasks.set(task.id, task);
  }

  private dropTask(id: string): void {
    const old = this.tasks.get(id);
    if (!old) return;
    this.tasks.delete(id);
    this.count(old, -1);
    this.onNode(old.node).tasks.delete(id);
    this.ofService(old.service).tasks.delete(id);
  }

  private count(task: Task, sign: 1 | -1): void {
    this.totals.add(task, sign);
    this.onNode(task.node).sums.add(task, sign);
    this.ofService(task.service).sums.add(task, sign);
    this.changedNodes.add(task.node);
    this.changedServices.add(task.service);
    this.touch("totals", "tasks", "problems");
  }

  private remove(kind: Kind, id: string): void {
    if (kind === "tasks") return this.dropTask(id);
    this[kind].delete(id);
    if (kind === "nodes") this.changedNodes.add(id);
    if (kind === "services") this.changedServices.add(id);
    this.touch(kind, "problems");
  }

  private touch(...topics: string[]): void {
    if (!this.listeners.size && !this.frameListeners.size) return this.forget();
    for (const topic of topics) this.changed.add(topic);
    if (this.scheduled) return;
    this.scheduled = true;
    if (this.complete) this.flushNextFrame();
    else this.partTimer = window.setTimeout(() => this.flushSoon(), PART_MS);
  }

  /** Tell now what waits for the rest of a snapshot. */
  private flushSoon(): void {
    if (!this.partTimer) return;
    clearTimeout(this.partTimer);
    this.partTimer = 0;
    this.flushNextFrame();
  }

  /** Hidden pages get no frames, and need none. */
  private flushNextFrame(): void {
    requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.scheduled = false;
    const due = new Set<Listener>(), nodes = this.changedNodes;
    const add = (topic: string): void => {
      for (const each of this.listeners.get(topic) ?? []) due.add(each);
    };
    for (const topic of this.changed) add(topic);
    for (const id of nodes) add(`node:${id}`);
    for (const id of this.changedServices) add(`service:${id}`);
    const membership = this.changed.has("nodes");
    this.forget();
    for (const listener of this.frameListeners) listener({ nodes, membership });
    for (const listener of due) listener();
  }

  private forget(): void {
    this.changed.clear();
    this.changedServices.clear();
    this.changedNodes = new Set();
  }
}

function group(groups: Map<string, Group>, id: string): Group {
  let found = groups.get(id);
  if (!found) groups.set(id, (found = new Group()));
  return found;
}

export const store = new Store();
