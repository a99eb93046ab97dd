import Alert from "@mui/material/Alert";
import Box from "@mui/material/Box";
import Button from "@mui/material/Button";
import LinearProgress from "@mui/material/LinearProgress";
import Stack from "@mui/material/Stack";
import Typography from "@mui/material/Typography";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, read, type Schemas } from "../api/client";
import { image } from "../api/queries";
import { useWords } from "../i18n";
import { Details } from "../ui/Details";
import { Loaded } from "../ui/Page";
import { ProblemAlert } from "../ui/ProblemAlert";
import { AiDetails, AiVerdict, Criteria } from "./AiFacts";
import { Decision } from "./Decision";
import type { Judged } from "./decide";
import { PictureView } from "./PictureView";
import type { ItemBody } from "./progress";
import { detailOf, latest } from "./result";
import type { Region } from "./zoom";

/** The picture on one side, what the AI says and the person's decision on the other. */
export function Judging(props: Judged & { imageId: string }) {
  const found = useQuery(image(props.imageId));
  return <Loaded of={found}>{(shown) => <Seen {...props} shown={shown} />}</Loaded>;
}

function Seen({ shown, ...props }: Judged & { shown: Schemas["ImageBody"] }) {
  const { t } = useWords();
  const { criteria } = props.item.item;
  const [region, setRegion] = useState<Region | null>(null);
  const [isMarking, setIsMarking] = useState(false);
  const run = shown.is_withheld ? null : latest(shown.ai_results);
  const boxes = run ? detailOf(run).objects.map((one) => one.box_px) : [];
  return (
    <Box sx={{ display: "grid", gap: 2, gridTemplateColumns: { md: "3fr 2fr" }, alignItems: "start" }}>
      <PictureView
        image={shown.image}
        hasDrawings={run !== null}
        region={region}
        isMarking={isMarking}
        onMark={setRegion}
      />
      <Stack spacing={2}>
        <AiSays shown={shown} item={props.item} run={run} />
        <Decision
          {...props}
          imageId={shown.image.id}
          hasSeenAi={run !== null}
          marking={{ region, setRegion, isMarking, setIsMarking, boxes }}
        />
        {run ? (
          <AiDetails run={run} criteria={criteria} />
        ) : (
          <Details title={t("criteria")}>
            <Criteria criteria={criteria} />
          </Details>
        )}
      </Stack>
    </Box>
  );
}

function AiSays(props: { shown: Schemas["ImageBody"]; item: ItemBody; run: Schemas["AiInspection"] | null }) {
  const { t } = useWords();
  const { shown, run } = props;
  const { item } = props.item;
  if (run) return <AiVerdict run={run} criteria={item.criteria} />;
  const isUnderWay = item.ai_enabled && ["captured", "inspecting"].includes(shown.image.state);
  return (
    <Stack spacing={1}>
      {shown.is_withheld && (
        <Alert severity="info" data-testid="blind">
          {t("blind")}
        </Alert>
      )}
      {!shown.is_withheld && isUnderWay && (
        <div role="status">
          <Typography>{t("ai.judging")}</Typography>
          <LinearProgress aria-label={t("ai.judging")} />
        </div>
      )}
      {!shown.is_withheld && !item.ai_enabled && <Alert severity="info">{t("ai.none")}</Alert>}
      {shown.image.state === "failed" && <Failed image={shown.image} />}
    </Stack>
  );
}

/** The AI could not judge: a person still can, and may ask the AI once more. */
function Failed({ image: { id, failure } }: { image: Schemas["Image"] }) {
  const { t } = useWords();
  const client = useQueryClient();
  const again = useMutation({
    mutationFn: () =>
      read(api.POST("/api/v1/images/{image_id}/inspect", { params: { path: { image_id: id } } })),
    onSettled: () => client.invalidateQueries({ queryKey: ["image", id] }),
  });
  return (
    <>
      <ProblemAlert error={again.error} />
      <Alert
        severity="warning"
        action={
          <Button loading={again.isPending} onClick={() => again.mutate()}>
            {t("retry")}
          </Button>
        }
      >
        {t("ai.failed")} {failure}
      </Alert>
    </>
  );
}
