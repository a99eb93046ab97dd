/** A few fields and one button: what was typed goes to the agent, and what it says against it is shown above. */
import Button from "@mui/material/Button";
import MenuItem from "@mui/material/MenuItem";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type SubmitEvent, useState } from "react";
import { readAgain } from "../api/again";
import { ProblemAlert } from "./ProblemAlert";

export interface Field<Name extends string> {
  name: Name;
  label: string;
  help?: string;
  /** What is chosen from, [value, text]; without it text is typed. */
  choices?: readonly (readonly [string, string])[];
  type?: "text" | "number" | "current-password" | "new-password";
  isOptional?: boolean;
  first?: string;
}

export function Form<Name extends string, T>(props: {
  label: string;
  fields: readonly Field<Name>[];
  /** The first word of the keys that the change makes stale. */
  stale: string;
  act: (values: Record<Name, string>) => Promise<T>;
  onDone?: (answer: T) => void;
}) {
  const client = useQueryClient();
  const first = Object.fromEntries(props.fields.map((one) => [one.name, one.first ?? ""]));
  const [values, setValues] = useState(first as Record<Name, string>);
  const change = useMutation({
    mutationFn: (given: Record<Name, string>) => props.act(given),
    onSuccess: async (answer, given) => {
      await readAgain(client, { queryKey: [props.stale] }); // done when it can be seen: who opens it again sees it
      setValues((now) => (now === given ? (first as Record<Name, string>) : now)); // what was typed meanwhile stays
      props.onDone?.(answer);
    },
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    change.mutate(values);
  };
  return (
    <form onSubmit={submit} aria-label={props.label}>
      <ProblemAlert error={change.error} onClose={() => change.reset()} />
      <Stack
        direction="row"
        spacing={1}
        useFlexGap
        sx={{ flexWrap: "wrap", alignItems: "flex-start", py: 1 }}
      >
        {props.fields.map((field) => (
          <Typed
            key={field.name}
            field={field}
            value={values[field.name]}
            onChange={(value) => setValues((now) => ({ ...now, [field.name]: value }))}
          />
        ))}
        <Button type="submit" variant="contained" loading={change.isPending} sx={{ minHeight: 56 }}>
          {props.label}
        </Button>
      </Stack>
    </form>
  );
}

function Typed<Name extends string>(props: {
  field: Field<Name>;
  value: string;
  onChange: (value: string) => void;
}) {
  const { label, help, choices, type = "text", isOptional } = props.field;
  const isPassword = type === "current-password" || type === "new-password";
  return (
    <TextField
      required={!isOptional}
      select={choices !== undefined}
      label={label}
      helperText={help}
      type={isPassword ? "password" : type}
      autoComplete={isPassword ? type : "off"}
      value={props.value}
      onChange={(event) => props.onChange(event.target.value)}
      sx={{ minWidth: 150, maxWidth: "100%" }}
    >
      {choices?.map(([value, text]) => (
        <MenuItem key={value} value={value}>
          {text}
        </MenuItem>
      ))}
    </TextField>
  );
}
