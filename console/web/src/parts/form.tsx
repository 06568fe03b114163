// Forms of many fields: each field has the flag of the command line that does the same.

import { useId } from "preact/hooks";
import { visible, shellWord } from "../text";
import { Text } from "./basics";

export type Values = Record<string, string | boolean>;

export interface Fault {
  path: string;
  message: string;
}

export interface Field {
  key: string;
  label: string;
  /** A list of choices, a switch, some lines, or one line. */
  kind?: readonly string[] | "switch" | "lines";
  hint?: string;
  /** Of the command line; none: the field is an argument. */
  flag?: string;
  /** A value as the flag has it, where that is not what the form has. */
  flagValue?: (value: string) => string;
  /** What may be meant, for completion. */
  offers?: readonly string[];
}

export const linesOf = (value: string | boolean | undefined): string[] =>
  String(value ?? "").split("\n").map((each) => each.trim()).filter(Boolean);

/** The values as the server reads them: lines are lists. */
export function documentOf(fields: readonly Field[], values: Values): Record<string, unknown> {
  return Object.fromEntries(fields.map(({ key, kind }) => [key, kind === "lines" ? linesOf(values[key]) : values[key] ?? (kind === "switch" ? false : "")]));
}

/** The flags of the fields that say something. */
export function flagsOf(fields: readonly Field[], values: Values): string[] {
  return fields.flatMap(({ key, kind, flag, flagValue = (value: string) => value }) => {
    const value = values[key];
    if (!flag || !value || (Array.isArray(kind) && value === kind[0])) return [];
    if (kind === "switch") return [flag];
    return (kind === "lines" ? linesOf(value) : [String(value)]).map((each) => `${flag} ${shellWord(flagValue(each))}`);
  });
}

export function Fields(props: { fields: readonly Field[]; values: Values; faults: readonly Fault[]; set: (key: string, value: string | boolean) => void }) {
  return (
    <div class="fields">
      {props.fields.map((field) => (
        <Input key={field.key} field={field} value={props.values[field.key] ?? ""} set={(value) => props.set(field.key, value)}
          faults={props.faults.filter((each) => each.path === field.key)} />
      ))}
    </div>
  );
}

/** Faults that no field of the form is about. */
export function OtherFaults({ fields, faults }: { fields: readonly Field[]; faults: readonly Fault[] }) {
  const known = new Set(fields.map((each) => each.key)), others = faults.filter((each) => !known.has(each.path));
  if (!others.length) return null;
  return (
    <ul class="problems" role="alert">
      {others.map((each) => <li key={each.path + each.message}><Text of={each.path ? `${each.path}: ${each.message}` : each.message} /></li>)}
    </ul>
  );
}

function Input({ field, value, set, faults }: { field: Field; value: string | boolean; set: (value: string | boolean) => void; faults: Fault[] }) {
  const id = useId(), { kind, label } = field;
  const described = faults.length ? `${id}-fault` : field.hint ? `${id}-hint` : undefined;
  const shared = { id, "aria-invalid": faults.length > 0, "aria-describedby": described, spellcheck: false, autocomplete: "off" as const };
  if (kind === "switch") {
    return (
      <div class="field">
        <label class="switch"><input id={id} type="checkbox" checked={!!value} onChange={(event) => set(event.currentTarget.checked)} /> {label}</label>
        <Faults id={id} faults={faults} />
      </div>
    );
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {kind === "lines"
        ? <textarea {...shared} rows={Math.max(2, linesOf(value).length + 1)} value={String(value)} onInput={(event) => set(event.currentTarget.value)} />
        : kind
          ? <select id={id} value={String(value)} onChange={(event) => set(event.currentTarget.value)}>{kind.map((each) => <option key={each}>{each}</option>)}</select>
          : <input {...shared} list={field.offers && `${id}-offers`} value={String(value)} onInput={(event) => set(event.currentTarget.value)} />}
      {field.offers && <datalist id={`${id}-offers`}>{field.offers.map((each) => <option key={each} value={each} />)}</datalist>}
      {field.hint && <small id={`${id}-hint`} class="quiet">{field.hint}</small>}
      <Faults id={id} faults={faults} />
    </div>
  );
}

function Faults({ id, faults }: { id: string; faults: Fault[] }) {
  if (!faults.length) return null;
  return <small id={`${id}-fault`} class="problem" role="alert">{faults.map((each) => visible(each.message)).join("; ")}</small>;
}
