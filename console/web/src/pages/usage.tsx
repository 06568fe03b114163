// What a service's or a node's tasks use, of the last minutes that the page was open.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { keepStream } from "../feed/kept-stream";
import { Text } from "../parts/basics";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { cpuText, memoryText } from "../text";

const SAMPLES = 150, SECONDS = 2, WIDTH = 420, HEIGHT = 110;

interface Task {
  id: string;
  name: string;
  node: string;
  cpus: number;
  memory: number;
  received: number;
  sent: number;
}

interface Sample {
  cpus: number;
  memory: number;
  traffic: number;
}

interface Message {
  type: "usage";
  tasks: Task[];
  warnings: string[];
}

const rateText = (bytes: number): string => `${memoryText(bytes)}/s`;

export function Usage({ query, line }: { query: string; line: ComponentChildren }) {
  const [samples, setSamples] = useState<Sample[]>([]);
  const [tasks, setTasks] = useState<Task[]>([]);
  const [notices, setNotices] = useState<string[]>([]);
  useEffect(() => {
    let before = new Map<string, number>();
    return keepStream<Message>(() => `/api/usage?${query}`, {
      begin: () => void (before = new Map()),
      message: (message) => {
        const now = new Map(message.tasks.map((each) => [each.id, each.received + each.sent]));
        const sample: Sample = { cpus: 0, memory: 0, traffic: 0 };
        for (const each of message.tasks) {
          sample.cpus += each.cpus;
          sample.memory += each.memory;
          sample.traffic += Math.max(0, (now.get(each.id) ?? 0) - (before.get(each.id) ?? now.get(each.id) ?? 0)) / SECONDS;
        }
        before = now;
        setTasks(message.tasks);
        setNotices(message.warnings);
        setSamples((all) => [...all, sample].slice(-SAMPLES));
      },
      problem: (text) => setNotices(text ? [text] : []),
    });
  }, [query]);
  return (
    <section aria-label="Usage">
      {notices.map((each) => <p key={each} role="status" class="quiet"><Text of={each} /></p>)}
      <div class="charts">
        <Chart title="CPU" values={samples.map((each) => each.cpus)} text={cpuText} />
        <Chart title="Memory" values={samples.map((each) => each.memory)} text={memoryText} />
        <Chart title="Network" values={samples.map((each) => each.traffic)} text={rateText} />
      </div>
      <VirtualTable label="Usage of tasks" rows={tasks} columns={COLUMNS} keyOf={(each) => each.id} empty="Nothing measured yet." />
      {line}
    </section>
  );
}

const COLUMNS: Column<Task>[] = [
  { title: "Task", width: "2fr", cell: (each) => <Text of={each.name} /> },
  { title: "Node", width: "1fr", cell: (each) => <Text of={each.node} /> },
  { title: "CPU", width: "7rem", cell: (each) => cpuText(each.cpus) },
  { title: "Memory", width: "7rem", cell: (each) => memoryText(each.memory) },
  { title: "Received", width: "7rem", cell: (each) => memoryText(each.received) },
  { title: "Sent", width: "7rem", cell: (each) => memoryText(each.sent) },
];

/** A line from 0 to the greatest value; what it shows is in words beside it. */
function Chart({ title, values, text }: { title: string; values: number[]; text: (value: number) => string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const most = Math.max(...values, 0), newest = values.at(-1);
  useEffect(() => {
    const element = canvas.current, context = element?.getContext("2d");
    if (!element || !context) return;
    const scale = devicePixelRatio || 1;
    element.width = WIDTH * scale;
    element.height = HEIGHT * scale;
    context.scale(scale, scale);
    context.strokeStyle = getComputedStyle(element).color;
    context.lineWidth = 2;
    context.beginPath();
    values.forEach((value, at) => {
      const x = WIDTH - ((values.length - 1 - at) * WIDTH) / (SAMPLES - 1), y = HEIGHT - 2 - (value / (most || 1)) * (HEIGHT - 6);
      at ? context.lineTo(x, y) : context.moveTo(x, y);
    });
    context.stroke();
  }, [values]);
  return (
    <figure>
      <figcaption>
        {title}: {newest === undefined ? "measuring" : text(newest)} <span class="quiet">{values.length > 1 && `at most ${text(most)}`}</span>
      </figcaption>
      <canvas ref={canvas} aria-hidden="true" style={{ width: `${WIDTH}px`, height: `${HEIGHT}px` }} />
    </figure>
  );
}
