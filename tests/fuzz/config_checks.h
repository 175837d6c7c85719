// What holds of settings of a training run from any file.
#pragma once
#include <string>

#include "layeravatar/train/train_config.h"
#include "target.h"

namespace layeravatar::fuzz {

/// Settings that `apply` read go round to the same.
template <class Apply>
void check_settings(Apply&& apply) {
  survives([&] {
    train::TrainConfig config;
    apply(config);
    const std::string text = train::to_json(config);
    train::TrainConfig again;
    train::apply_json(again, text, "again");
    require(train::to_json(again) == text, "not the same settings");
    config.check();
    (void)config.stage_at(1);
    (void)config.lr_factor(1);
  }, ErrorKind::kConfig);
}

}  // namespace layeravatar::fuzz
