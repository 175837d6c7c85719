// Fits and unified parameters: JSON where the input begins with a brace, else a pickle.
#include "layeravatar/body/smplx_format.h"

#include "pickle_checks.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  using body::FitSource;
  const body::HandPca hands{std::vector<float>(45 * 45), std::vector<float>(45 * 45), {}, {}};
  for (const FitSource source : {FitSource::kThuman20, FitSource::kThuman21, FitSource::kCustomHumans})
    fuzz::survives([&] {
      const body::SmplxFit fit = bytes.starts_with('{')
                                     ? body::parse_fit_json(bytes, "f", source)
                                     : body::fit_from_pickle(io::parse_pickle(bytes, "f", {fuzz::small_limits(), 0, false, {}}), "f", source);
      (void)body::unify_fit(fit, source, hands, {});
    });
  fuzz::survives([&] {
    if (bytes.starts_with('{'))
      (void)body::parse_calibration(bytes, "f");
    else
      (void)body::unified_from_pickle(io::parse_pickle(bytes, "f", {fuzz::small_limits(), 0, false, {}}), "f");
  });
}
