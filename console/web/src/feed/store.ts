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

type Listener = () => void;

/** Topics: "nodes", "services", "problems", "connection", "totals", `node:ID`, `service:ID`, "tasks", "theme". */
export class Store {
  readonly nodes = new Map<string, Node>();
  readonly services = new Map<string, Service>();
  readonly containers = new Map<string, Container>();
  readonly tasks = new Map<string, Task>();
  readonly totals = new Sums();
  /** Of nodes that are ready, by id: what only a comparison of all nodes shows. */
  warnings: Record<string, string[]> = {};
  problem = "connecting to the console";
  complete = false;
  private readonly byNode = new Map<string, Group>();
  private readonly byService = new Map<string, Group>();
  private readonly listeners = new Map<string, Set<Listener>>();
  private readonly changed = new Set<string>();
  private scheduled = false;

  /** Tasks on a node; those without one are at "". */
  onNode(id: string): Group {
    return group(this.byNode, id);
  }

  ofService(id: string): Group {
    return group(this.byService, id);
  }

  replaceAll(snapshot: Changes): void {
    for (const kind of ["nodes", "services", "containers", "tasks"] as const) {
      for (const id of [...this[kind].keys()]) this.remove(kind, id);
    }
    this.complete = true;
    this.touch("connection");
    this.apply(snapshot);
  }

  apply(changes: Changes): void {
    for (const each of changes.nodes ?? []) {
      this.nodes.set(each.id, each);
      this.touch("nodes", "problems", `node:${each.id}`);
    }
    for (const each of changes.services ?? []) {
      this.services.set(each.id, each);
      this.touch("services", "problems", `service:${each.id}`);
    }
    for (const each of changes.containers ?? []) this.containers.set(each.id, each);
    for (const row of changes.tasks ?? []) this.putTask(taskOf(row));
    for (const kind of ["nodes", "services", "containers", "tasks"] as const) {
      for (const id of changes.removed?.[kind] ?? []) this.remove(kind, id);
    }
  }

  notify(topic: string): void {
    this.touch(topic);
  }

  setWarnings(warnings: Record<string, string[]>): void {
    this.warnings = warnings;
    this.touch("problems", ...Object.keys(warnings).map((id) => `node:${id}`));
  }

  /** What is wrong with a node. */
  problemsOf(node: Node): string[] {
    return [...new Set([...node.problems, ...(this.warnings[node.id] ?? [])])];
  }

  setProblem(problem: string): void {
    if (problem === this.problem) return;
    this.problem = problem;
    this.touch("connection");
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
    this.dropTask(task.id);
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
    this.touch("totals", "tasks", "problems", `node:${task.node}`, `service:${task.service}`);
  }

  private remove(kind: "nodes" | "services" | "containers" | "tasks", id: string): void {
    if (kind === "tasks") return this.dropTask(id);
    this[kind].delete(id);
    this.touch(kind, "problems", `${kind.slice(0, -1)}:${id}`);
  }

  private touch(...topics: string[]): void {
    for (const topic of topics) this.changed.add(topic);
    if (this.scheduled) return;
    this.scheduled = true;
    // Hidden pages get no frames, and need none.
    requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.scheduled = false;
    const due = new Set<Listener>();
    for (const topic of this.changed) for (const each of this.listeners.get(topic) ?? []) due.add(each);
    this.changed.clear();
    for (const listener of due) listener();
  }
}

function group(groups: Map<string, Group>, id: string): Group {
  let found = groups.get(id);
  if (!found) groups.set(id, (found = new Group()));
  return found;
}

export const store = new Store();
