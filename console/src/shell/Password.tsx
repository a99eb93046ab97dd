/** One's own password: whoever is logged in changes it, if they know the present one. */
import Alert from "@mui/material/Alert";
import Button from "@mui/material/Button";
import { useState } from "react";
import { api } from "../api/client";
import { Problem } from "../api/problems";
import { useWords } from "../i18n";
import { Form } from "../ui/Form";
import { Page } from "../ui/Page";

export function Password() {
  const { t } = useWords();
  const [isChanged, setIsChanged] = useState(false);
  return (
    <Page title={t("password")}>
      {isChanged && (
        <Alert severity="success" data-testid="changed">
          {t("password.changed")}
        </Alert>
      )}
      <Form
        label={t("password.change")}
        stale="me"
        fields={[
          { name: "present", label: t("password.present"), type: "current-password" },
          { name: "next", label: t("password.next"), type: "new-password" },
          { name: "again", label: t("password.again"), type: "new-password" },
        ]}
        act={async ({ present, next, again }) => {
          setIsChanged(false);
          if (next !== again) {
            throw new Problem({
              code: "password-differs",
              detail: "",
              title: t("password.differs"),
              hint: t("password.differs.hint"),
            });
          }
          await api.POST("/api/v1/auth/password", { body: { old_password: present, new_password: next } });
        }}
        onDone={() => setIsChanged(true)}
      />
      <div>
        <Button href="#/">{t("home")}</Button>
      </div>
    </Page>
  );
}
