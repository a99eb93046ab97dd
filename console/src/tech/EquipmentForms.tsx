/** Making and removing cameras and hot folders; every further setting of a folder is made with the CLI. */
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { api, read } from "../api/client";
import { products } from "../history/queries";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { Form } from "../ui/Form";

const BY_NAME = "(?P<serial>[^_.]+)(_.*)?\\.[A-Za-z]+"; // serial_anything.jpg

/** Cameras of the machine are numbers, all others addresses or paths. */
const placeOf = (source: string): number | string => (/^\d{1,2}$/.test(source) ? Number(source) : source);

export function NewCamera() {
  const { t } = useWords();
  return (
    <Form
      label={t("cameras.add")}
      stale="camera"
      fields={[
        { name: "name", label: t("cameras.name") },
        { name: "source", label: t("cameras.source") },
      ]}
      act={({ name, source }) =>
        read(
          api.PUT("/api/v1/cameras/{name}", {
            params: { path: { name } },
            body: { source: placeOf(source) },
          }),
        )
      }
    />
  );
}

export function NewFolder() {
  const { t, name: nameOf } = useWords();
  const known = useQuery(products);
  return (
    <>
      <Form
        label={t("folders.add")}
        stale="folder"
        fields={[
          { name: "name", label: t("folders.name") },
          { name: "path", label: t("folders.path") },
          {
            name: "product",
            label: t("history.product"),
            choices: (known.data?.products ?? []).map((one) => [one.product_code, nameOf(one.product_name)]),
          },
          { name: "item", label: t("folders.item") },
          { name: "pattern", label: t("folders.pattern"), first: BY_NAME },
          {
            name: "session",
            label: t("folders.session"),
            first: "current",
            choices: [
              ["current", t("folders.current")],
              ["auto", t("folders.auto")],
            ],
          },
        ]}
        act={({ name, session, ...body }) =>
          read(
            api.PUT("/api/v1/folders/{name}", {
              params: { path: { name } },
              body: { ...body, session: session === "auto" ? "auto" : "current" },
            }),
          )
        }
      />
      <Typography color="textSecondary">{t("folders.more")}</Typography>
    </>
  );
}

/** Forgets a camera or stops watching a folder; pictures and files stay. */
export function Removal({ noun, name }: { noun: "camera" | "folder"; name: string }) {
  const { t } = useWords();
  const params = { path: { name } };
  return (
    <Action
      label={t("equipment.remove")}
      question={t("equipment.remove.sure", { name })}
      stale={noun}
      act={() =>
        noun === "camera"
          ? api.DELETE("/api/v1/cameras/{name}", { params })
          : api.DELETE("/api/v1/folders/{name}", { params })
      }
    />
  );
}
