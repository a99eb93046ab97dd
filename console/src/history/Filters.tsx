import MenuItem from "@mui/material/MenuItem";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router";
import { useWords } from "../i18n";
import { usePeople } from "./people";
import { products, STATUSES } from "./queries";
import type { Field } from "./wanted";

/** What is searched for, period, product, inspector and status; what is chosen stands in the address. */
export function Filters() {
  const { t, name } = useWords();
  const known = useQuery(products);
  const people = usePeople();
  const offered: [Field, [string, string][]][] = [
    ["product", (known.data?.products ?? []).map((one) => [one.id, name(one.product_name)])],
    ["inspector", people.map((one) => [String(one.id), one.name])],
    ["status", STATUSES.map((one) => [one, t(`status.${one}`)])],
  ];
  return (
    <Stack direction="row" spacing={1} useFlexGap role="search" sx={{ flexWrap: "wrap" }}>
      <Search />
      <Day field="since" />
      <Day field="until" />
      {offered.map(([field, choices]) => (
        <Choice key={field} field={field} choices={choices} />
      ))}
    </Stack>
  );
}

function useField(field: Field): [string, (value: string) => void] {
  const [address, setAddress] = useSearchParams();
  const change = (value: string) =>
    setAddress(
      (before) => {
        const after = new URLSearchParams(before);
        if (value) after.set(field, value);
        else after.delete(field);
        return after;
      },
      { replace: true, flushSync: true }, // the next filter is added to this one
    );
  return [address.get(field) ?? "", change];
}

/** Typed or scanned; searched for when Enter ends it or the field is left. */
function Search() {
  const { t } = useWords();
  const [text, change] = useField("text");
  const [typed, setTyped] = useState(text);
  const [before, setBefore] = useState(text);
  if (text !== before) {
    setBefore(text); // another address: by a link, or by what was typed here
    setTyped(text);
  }
  return (
    <TextField
      type="search"
      label={t("history.text")}
      value={typed}
      onChange={({ target }) => setTyped(target.value)}
      onBlur={() => change(typed.trim())}
      onKeyDown={({ key }) => key === "Enter" && change(typed.trim())}
      slotProps={{ htmlInput: { maxLength: 1000, spellCheck: false, autoComplete: "off" } }}
      sx={{ minWidth: 260 }}
    />
  );
}

function Day({ field }: { field: "since" | "until" }) {
  const { t } = useWords();
  const [value, change] = useField(field);
  return (
    <TextField
      type="date"
      label={t(`history.${field}`)}
      value={value}
      onChange={(event) => change(event.target.value)}
      slotProps={{ inputLabel: { shrink: true } }}
    />
  );
}

function Choice({ field, choices }: { field: Field; choices: readonly [string, string][] }) {
  const { t } = useWords();
  const [value, change] = useField(field);
  const isKnown = choices.some(([one]) => one === value);
  return (
    <TextField
      select
      label={t(`history.${field}`)}
      value={isKnown ? value : ""}
      onChange={(event) => change(event.target.value)}
      sx={{ minWidth: 150 }}
    >
      <MenuItem value="">{t("history.all")}</MenuItem>
      {choices.map(([one, text]) => (
        <MenuItem key={one} value={one}>
          {text}
        </MenuItem>
      ))}
    </TextField>
  );
}
