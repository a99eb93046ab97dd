/** Everybody who may log in; adding a person, and ending or giving back the right to. */
import Button from "@mui/material/Button";
import MenuItem from "@mui/material/MenuItem";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type SubmitEvent, useState } from "react";
import { api, read, type Schemas } from "../api/client";
import { users } from "../history/queries";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Grid } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Section } from "../ui/Section";
import { TechPage } from "./TechPage";

const ROLES: readonly Schemas["Role"][] = ["inspector", "supervisor", "technician", "admin"];
const NOBODY: Schemas["NewUser"] = { username: "", full_name: "", password: "", role: "inspector" };

export function Users() {
  const { t } = useWords();
  const found = useQuery(users);
  return (
    <TechPage title={t("tech.users")}>
      <Loaded of={found}>
        {(list) => (
          <Grid
            label={t("tech.users")}
            heads={[t("login.name"), t("users.name"), t("users.role"), t("users.state")]}
            rows={list.users.map((one) => ({
              key: one.id,
              cells: [
                one.username,
                one.full_name,
                t(`role.${one.role}`),
                <Activity key="state" user={one} />,
              ],
            }))}
          />
        )}
      </Loaded>
      <NewPerson />
    </TechPage>
  );
}

function Activity({ user }: { user: Schemas["User"] }) {
  const { t } = useWords();
  const change = (is_active: boolean) =>
    read(
      api.PATCH("/api/v1/users/{username}", {
        params: { path: { username: user.username } },
        body: { is_active },
      }),
    );
  return user.is_active ? (
    <Action
      label={t("users.end")}
      question={t("users.end.sure", { name: user.username })}
      stale="user"
      act={() => change(false)}
    />
  ) : (
    <Action label={t("users.again")} stale="user" act={() => change(true)} />
  );
}

function NewPerson() {
  const { t } = useWords();
  const client = useQueryClient();
  const [person, setPerson] = useState(NOBODY);
  const add = useMutation({
    mutationFn: () => read(api.POST("/api/v1/users", { body: person })),
    onSuccess: () => {
      setPerson(NOBODY);
      void client.invalidateQueries({ queryKey: ["user"] });
    },
  });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    add.mutate();
  };
  const field = (name: "username" | "full_name" | "password", label: string) => (
    <TextField
      required
      label={label}
      type={name === "password" ? "password" : "text"}
      autoComplete={name === "password" ? "new-password" : "off"}
      value={person[name]}
      onChange={(event) => setPerson({ ...person, [name]: event.target.value })}
    />
  );
  return (
    <Section title={t("users.add")}>
      <ProblemAlert error={add.error} />
      <form onSubmit={submit}>
        <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
          {field("username", t("login.name"))}
          {field("full_name", t("users.name"))}
          {field("password", t("login.password"))}
          <TextField
            select
            label={t("users.role")}
            value={person.role}
            onChange={(event) => setPerson({ ...person, role: event.target.value as Schemas["Role"] })}
            sx={{ minWidth: 150 }}
          >
            {ROLES.map((role) => (
              <MenuItem key={role} value={role}>
                {t(`role.${role}`)}
              </MenuItem>
            ))}
          </TextField>
          <Button type="submit" variant="contained" loading={add.isPending}>
            {t("users.add")}
          </Button>
        </Stack>
      </form>
    </Section>
  );
}
