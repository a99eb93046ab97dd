/** Everybody who may log in; adding a person, a new role or password, ending the right to. */
import { useQuery } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { users } from "../history/queries";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Details } from "../ui/Details";
import { Form } from "../ui/Form";
import { Grid } from "../ui/Grid";
import { Loaded } from "../ui/Page";
import { Section } from "../ui/Section";
import { TechPage } from "./TechPage";

const ROLES: readonly Schemas["Role"][] = ["inspector", "supervisor", "technician", "admin"];

export function Users() {
  const { t } = useWords();
  const found = useQuery(users);
  return (
    <TechPage title={t("tech.users")}>
      <Loaded of={found}>
        {(list) => (
          <Grid
            label={t("tech.users")}
            heads={[t("login.name"), t("users.name"), t("users.role"), t("users.state"), t("users.change")]}
            rows={list.users.map((one) => ({
              key: one.id,
              cells: [
                one.username,
                one.full_name,
                t(`role.${one.role}`),
                <Activity key="state" user={one} />,
                <Change key={`change ${one.updated_at}`} user={one} />,
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

/** A new role or a new password; what is left empty stays. */
function Change({ user }: { user: Schemas["User"] }) {
  const { t } = useWords();
  return (
    <Details title={t("users.change")}>
      <Form
        label={t("users.save")}
        stale="user"
        fields={[
          { name: "role", label: t("users.role"), choices: useRoles(), first: user.role },
          { name: "password", label: t("users.password"), type: "new-password", isOptional: true },
        ]}
        act={({ role, password }) =>
          read(
            api.PATCH("/api/v1/users/{username}", {
              params: { path: { username: user.username } },
              body: { role: role as Schemas["Role"], ...(password && { password }) },
            }),
          )
        }
      />
    </Details>
  );
}

const useRoles = (): [string, string][] => {
  const { t } = useWords();
  return ROLES.map((role) => [role, t(`role.${role}`)]);
};

function NewPerson() {
  const { t } = useWords();
  return (
    <Section title={t("users.add")}>
      <Form
        label={t("users.add")}
        stale="user"
        fields={[
          { name: "username", label: t("login.name") },
          { name: "full_name", label: t("users.name") },
          { name: "password", label: t("login.password"), type: "new-password" },
          { name: "role", label: t("users.role"), choices: useRoles(), first: "inspector" },
        ]}
        act={({ role, ...person }) =>
          read(api.POST("/api/v1/users", { body: { ...person, role: role as Schemas["Role"] } }))
        }
      />
    </Section>
  );
}
