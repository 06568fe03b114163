// Forms that create what services use, with the command line that does the same.

import { useState } from "preact/hooks";
import { post } from "../api";
import { shellWord } from "../text";
import { Action, CommandLine, Dialog } from "./basics";
import { base64Of, ChooseFile } from "./file-content";

export type Values = Record<string, string | boolean>;

interface Field {
  key: string;
  label: string;
  /** A list of choices, a switch, some lines, or one line. */
  kind?: readonly string[] | "switch" | "lines";
  hint?: string;
}

export interface Form {
  one: string;
  fields: readonly Field[];
  line: (values: Values, file: File | null) => string;
  /** It has content, which may come from a file. */
  file?: boolean;
}

const name = (values: Values): string => shellWord(String(values.name || "NAME"));
const NAME: Field = { key: "name", label: "Name" };
const file = (one: string): Form => ({
  one, file: true,
  fields: [NAME, { key: "content", label: "Content", kind: "lines" }],
  line: (values, chosen) => `shoal ${one} create ${name(values)} ${shellWord(chosen?.name ?? "FILE")}`,
});

export const FORMS: Record<string, Form> = {
  networks: {
    one: "network",
    fields: [
      NAME, { key: "driver", label: "Driver", kind: ["overlay", "bridge"] },
      { key: "subnet", label: "Subnet", hint: "Chosen if empty" },
      { key: "internal", label: "No route out of it", kind: "switch" },
      { key: "encrypted", label: "Encrypted between nodes", kind: "switch" },
    ],
    line: (values) => [
      "shoal network create", values.driver === "bridge" && "--driver bridge", values.subnet && `--subnet ${shellWord(String(values.subnet))}`,
      values.internal && "--internal", values.encrypted && "--opt encrypted", name(values),
    ].filter(Boolean).join(" "),
  },
  volumes: {
    one: "volume",
    fields: [NAME, { key: "driver", label: "Driver" }],
    line: (values) => `shoal volume create${values.driver === "local" ? "" : ` --driver ${shellWord(String(values.driver))}`} ${name(values)}`,
  },
  secrets: file("secret"),
  configs: file("config"),
};

const FIRST: Values = { name: "", driver: "", subnet: "", content: "", internal: false, encrypted: false };

export function CreateDialog({ kind, form, done, close }: { kind: string; form: Form; done: () => void; close: () => void }) {
  const [values, setValues] = useState<Values>({ ...FIRST, driver: kind === "volumes" ? "local" : "overlay" });
  const [file, setFile] = useState<File | null>(null);
  const set = (key: string, value: string | boolean): void => setValues((before) => ({ ...before, [key]: value }));
  const create = async (): Promise<void> => {
    const { content, ...others } = values;
    await post(`/api/${kind}`, file ? { ...others, content_base64: await base64Of(file) } : { ...others, content });
    done();
    close();
  };
  return (
    <Dialog title={`Create a ${form.one}`} close={close}>
      {form.fields.map((field) => <Input key={field.key} field={field} value={values[field.key] ?? ""} disabled={!!file && field.key === "content"} set={(value) => set(field.key, value)} />)}
      {form.file && <ChooseFile choose={setFile} />}
      <CommandLine line={form.line(values, file)} />
      <div class="buttons">
        <Action class="main" do={create} disabled={!values.name || (!!form.file && !file && !values.content)}>{`Create ${form.one}`}</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}

function Input({ field, value, disabled, set }: { field: Field; value: string | boolean; disabled: boolean; set: (value: string | boolean) => void }) {
  const { kind } = field;
  if (kind === "switch") {
    return (
      <label class="switch">
        <input type="checkbox" checked={!!value} onChange={(event) => set(event.currentTarget.checked)} /> {field.label}
      </label>
    );
  }
  return (
    <label>
      {field.label}
      {kind === "lines"
        ? <textarea rows={6} value={String(value)} disabled={disabled} spellcheck={false} autocomplete="off" onInput={(event) => set(event.currentTarget.value)} />
        : kind
          ? <select value={String(value)} onChange={(event) => set(event.currentTarget.value)}>{kind.map((each) => <option key={each}>{each}</option>)}</select>
          : <input value={String(value)} placeholder={field.hint} autocomplete="off" spellcheck={false} onInput={(event) => set(event.currentTarget.value)} />}
    </label>
  );
}
