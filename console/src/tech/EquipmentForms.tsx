/** Making, changing and removing cameras and hot folders; every further setting of a folder is made with the CLI. */
import Typography from "@mui/material/Typography";
import { useQuery } from "@tanstack/react-query";
import { api, read, type Schemas } from "../api/client";
import { products } from "../history/queries";
import { useWords } from "../i18n";
import { Action } from "../ui/Action";
import { type Field, Form } from "../ui/Form";

const BY_NAME = "(?P<serial>[^_.]+)(_.*)?\\.[A-Za-z]+"; // serial_anything.jpg

/** Cameras of the machine are numbers, all others addresses or paths. */
const placeOf = (source: string): number | string => (/^\d{1,2}$/.test(source) ? Number(source) : source);
const pixelsOf = (text: string): number | null => (text === "" ? null : Number(text));

/** A new camera, or the one that there is: what is not touched stays, a password in its address too. */
export function CameraForm({ camera, onDone }: { camera?: Schemas["CameraStatus"]; onDone?: () => void }) {
  const { t } = useWords();
  const name: Field<"name"> = { name: "name", label: t("cameras.name") };
  return (
    <Form
      label={t(camera ? "equipment.save" : "cameras.add")}
      stale="camera"
      onDone={onDone}
      fields={[
        ...(camera ? [] : [name]),
        {
          name: "source",
          label: t("cameras.source"),
          first: camera?.source,
          help: camera && t("cameras.secret"),
        },
        ...(["width_px", "height_px"] as const).map((side): Field<typeof side> => ({
          name: side,
          label: t(`cameras.${side}`),
          type: "number",
          isOptional: true,
          first: String(camera?.[side] ?? ""),
        })),
      ]}
      act={({ name, source, width_px, height_px }) => {
        const size = { width_px: pixelsOf(width_px), height_px: pixelsOf(height_px) };
        const place = { source: placeOf(source) };
        return read(
          camera
            ? api.PATCH("/api/v1/cameras/{name}", {
                params: { path: { name: camera.name } },
                body: source === camera.source ? size : { ...size, ...place },
              })
            : api.PUT("/api/v1/cameras/{name}", { params: { path: { name } }, body: { ...size, ...place } }),
        );
      }}
    />
  );
}

/** A new hot folder, or the one that there is: what is not shown here stays. */
export function FolderForm({ folder, onDone }: { folder?: Schemas["FolderConfig"]; onDone?: () => void }) {
  const { t } = useWords();
  const name: Field<"name"> = { name: "name", label: t("folders.name") };
  const isOptional = folder !== undefined; // a sidecar or the file's name may say it
  return (
    <>
      <Form
        label={t(folder ? "equipment.save" : "folders.add")}
        stale="folder"
        onDone={onDone}
        fields={[
          ...(folder ? [] : [name]),
          { name: "path", label: t("folders.path"), first: folder?.path },
          {
            name: "product",
            label: t("history.product"),
            choices: useProductCodes(folder?.product),
            isOptional,
            first: folder?.product ?? "",
          },
          { name: "item", label: t("folders.item"), isOptional, first: folder?.item ?? "" },
          {
            name: "pattern",
            label: t("folders.pattern"),
            isOptional,
            first: folder ? (folder.pattern ?? "") : BY_NAME,
          },
          {
            name: "session",
            label: t("folders.session"),
            first: folder?.session ?? "current",
            choices: [
              ["current", t("folders.current")],
              ["auto", t("folders.auto")],
            ],
          },
        ]}
        act={({ name, path, product, item, pattern, session }) =>
          read(
            api.PUT("/api/v1/folders/{name}", {
              params: { path: { name: folder?.name ?? name } },
              body: {
                ...folder,
                path,
                product: product || null,
                item: item || null,
                pattern: pattern || null,
                session: session === "auto" ? "auto" : "current",
              },
            }),
          )
        }
      />
      <Typography color="textSecondary">{t("folders.more")}</Typography>
    </>
  );
}

/** What may be chosen: every product of the masters, what is chosen now, and none where that is so now. */
function useProductCodes(now: string | null | undefined): [string, string][] {
  const { name } = useWords();
  const known = useQuery(products);
  const offered = (known.data?.products ?? []).map((one): [string, string] => [
    one.product_code,
    name(one.product_name),
  ]);
  if (now === undefined) return offered;
  const isThere = now === null || offered.some(([code]) => code === now);
  return [["", "—"], ...offered, ...(isThere ? [] : [[now, now] as [string, string]])];
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
