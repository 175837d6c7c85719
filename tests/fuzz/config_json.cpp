#include "layeravatar/train/train_config.h"

#include "target.h"

using namespace layeravatar;

LAV_FUZZ_TARGET(bytes) {
  fuzz::survives([&] {
    train::TrainConfig config;
    train::apply_json(config, std::string(bytes), "f");
    const std::string text = train::to_json(config);
    train::TrainConfig again;
    train::apply_json(again, text, "again");
    fuzz::require(train::to_json(again) == text, "not the same settings");
    config.check();
    (void)config.stage_at(1);
    (void)config.lr_factor(1);
  }, ErrorKind::kConfig);
}
