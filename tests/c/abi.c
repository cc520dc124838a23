/* The functions of chest.h without what they do: from this, compiled with debug information, the ABI is recorded and
 * compared. The compiler holds chest.cpp to the same declarations; tests/package holds the library to the same names. */
#include <chest.h>

uint32_t chest_abi_version(void) { return 0; }
const char *chest_version(void) { return 0; }
const char *chest_status_str(chest_status status) { return (void)status, (char *)0; }
const char *chest_last_error(void) { return 0; }
chest_status chest_model_open(const char *path, const chest_options *options, chest_model **model) {
  return (void)path, (void)options, (void)model, CHEST_OK;
}
chest_status chest_model_info(const chest_model *model, chest_info *info) { return (void)model, (void)info, CHEST_OK; }
void chest_model_close(chest_model *model) { (void)model; }
chest_status chest_session_create(const chest_model *model, const chest_options *options, chest_session **session) {
  return (void)model, (void)options, (void)session, CHEST_OK;
}
chest_status chest_session_pilots(chest_session *session, const chest_tensor *p) {
  return (void)session, (void)p, CHEST_OK;
}
chest_status chest_session_grid(chest_session *session, const chest_grid *grid, const chest_tensor *x) {
  return (void)session, (void)grid, (void)x, CHEST_OK;
}
chest_status chest_estimate(chest_session *session, const chest_tensor *y, const chest_tensor *noise_var,
                            chest_tensor *h_hat, chest_tensor *err_var, void *cuda_stream) {
  return (void)session, (void)y, (void)noise_var, (void)h_hat, (void)err_var, (void)cuda_stream, CHEST_OK;
}
chest_status chest_session_stats(const chest_session *session, chest_stats *stats) {
  return (void)session, (void)stats, CHEST_OK;
}
const char *chest_session_error(const chest_session *session) { return (void)session, (char *)0; }
void chest_session_destroy(chest_session *session) { (void)session; }
