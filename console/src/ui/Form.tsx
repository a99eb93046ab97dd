/** A few fields and one button: what was typed goes to the agent, and what it says against it is shown above. */
import Button from "@mui/material/Button";
import MenuItem from "@mui/material/MenuItem";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type SubmitEvent, useState } from "react";
import { ProblemAlert } from "./ProblemAlert";

export interface Field<Name extends string> {
  name: Name;
  label: string;
  /** What is chosen from, [value, text]; without it text is typed. */
  choices?: readonly (readonly [string, string])[];
  isOptional?: boolean;
  isPassword?: boolean;
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
    mutationFn: () => props.act(values),
    onSuccess: (answer) => {
      setValues(first as Record<Name, string>);
      void client.invalidateQueries({ queryKey: [props.stale] });
      props.onDone?.(answer);
    },
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    change.mutate();
  };
  return (
    <form onSubmit={submit} aria-label={props.label}>
      <ProblemAlert error={change.error} onClose={() => change.reset()} />
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap", py: 1 }}>
        {props.fields.map((field) => (
          <TextField
            key={field.name}
            required={!field.isOptional}
            select={field.choices !== undefined}
            label={field.label}
            type={field.isPassword ? "password" : "text"}
            autoComplete={field.isPassword ? "new-password" : "off"}
            value={values[field.name]}
            onChange={(event) => setValues({ ...values, [field.name]: event.target.value })}
            sx={{ minWidth: 150 }}
          >
            {field.choices?.map(([value, text]) => (
              <MenuItem key={value} value={value}>
                {text}
              </MenuItem>
            ))}
          </TextField>
        ))}
        <Button type="submit" variant="contained" loading={change.isPending}>
          {props.label}
        </Button>
      </Stack>
    </form>
  );
}
