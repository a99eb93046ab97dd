/** What an item's pipeline says of a picture, with everything it found; nothing is stored. */
import MenuItem from "@mui/material/MenuItem";
import Stack from "@mui/material/Stack";
import TextField from "@mui/material/TextField";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { postFile, type Schemas } from "../api/client";
import { AiDetails, AiVerdict } from "../flow/AiFacts";
import { products } from "../history/queries";
import { useWords } from "../i18n";
import { itemsOf } from "../review/queries";
import { FileButton, PICTURES } from "../ui/FileButton";
import { ProblemAlert } from "../ui/ProblemAlert";
import { Section } from "../ui/Section";

export function DryRun({ pipelines }: { pipelines: readonly Schemas["PipelineBody"][] }) {
  const { t, name } = useWords();
  const known = useQuery(products);
  const [product, setProduct] = useState("");
  const [itemId, setItemId] = useState("");
  const offered = useQuery({ ...itemsOf(product), enabled: product !== "" });
  const items = offered.data?.items.filter((one) => one.pipeline_id !== null) ?? [];
  const item = items.find((one) => one.id === itemId);
  const code = pipelines.find(({ pipeline }) => pipeline.id === item?.pipeline_id)?.pipeline.code;
  const run = useMutation({
    mutationFn: (picture: File) =>
      postFile<Schemas["DryRun"]>(
        `/pipelines/${code}/dry-run?item_id=${encodeURIComponent(itemId)}`,
        picture,
      ),
  });
  const choose = (text: string, value: string, choices: [string, string][], change: (to: string) => void) => (
    <TextField
      select
      label={text}
      value={choices.some(([one]) => one === value) ? value : ""}
      onChange={(event) => {
        run.reset();
        change(event.target.value);
      }}
      sx={{ minWidth: 180 }}
    >
      {choices.map(([one, shown]) => (
        <MenuItem key={one} value={one}>
          {shown}
        </MenuItem>
      ))}
    </TextField>
  );
  const codes = (known.data?.products ?? []).map((one): [string, string] => [
    one.product_code,
    name(one.product_name),
  ]);
  return (
    <Section title={t("dryrun")}>
      <ProblemAlert error={known.error ?? offered.error ?? run.error} />
      <Stack direction="row" spacing={1} useFlexGap sx={{ flexWrap: "wrap" }}>
        {choose(t("history.product"), product, codes, setProduct)}
        {choose(
          t("dryrun.item"),
          itemId,
          items.map((one) => [one.id, name(one.item_name)]),
          setItemId,
        )}
        {code !== undefined && (
          <FileButton
            label={t("capture.file")}
            accept={PICTURES}
            isBusy={run.isPending}
            onFile={(picture) => run.mutate(picture)}
          />
        )}
      </Stack>
      {run.data && item && <Judged run={run.data} criteria={item.criteria} />}
    </Section>
  );
}

function Judged(props: { run: Schemas["DryRun"]; criteria: Record<string, unknown> }) {
  const { t } = useWords();
  const { overlay, thumbnail } = props.run.pictures;
  const picture = overlay ?? thumbnail;
  return (
    <Stack direction={{ xs: "column", md: "row" }} spacing={2} data-testid="dryrun">
      {picture && (
        <img
          src={`data:image/jpeg;base64,${picture}`}
          alt={t("picture")}
          style={{ maxWidth: "min(100%, 480px)" }}
        />
      )}
      <Stack spacing={1} sx={{ flexGrow: 1 }}>
        <AiVerdict {...props} />
        <AiDetails {...props} />
      </Stack>
    </Stack>
  );
}
